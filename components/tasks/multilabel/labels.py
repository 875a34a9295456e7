"""Labels that are sets of classes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from components.common.errors import Problem
from components.tasks.classification.labels import ClassLabels
from components.tasks.labels import SEPARATOR, Cell, parse_words


@dataclass(frozen=True)
class ClassSetLabels(ClassLabels):
    """A set of classes per sample; it may be empty."""

    TYPE = pa.list_(pa.string())

    @staticmethod
    def parse(value: Cell, separator: str = SEPARATOR) -> tuple[str, ...] | Problem | None:
        found = parse_words(value, separator)
        return tuple(dict.fromkeys(found)) if isinstance(found, tuple) else found

    @classmethod
    def parser(cls, task: Any) -> Callable[[Cell], tuple[str, ...] | Problem | None]:
        return partial(cls.parse, separator=task.separator)


LABELS = ClassSetLabels
