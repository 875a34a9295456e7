"""Labels that are sets of classes."""

from dataclasses import dataclass

import pyarrow as pa

from components.common.errors import Problem
from components.tasks.classification.labels import ClassLabels
from components.tasks.labels import Cell, parse_words


@dataclass(frozen=True)
class ClassSetLabels(ClassLabels):
    """A set of classes per sample; it may be empty."""

    TYPE = pa.list_(pa.string())

    @staticmethod
    def parse(value: Cell) -> tuple[str, ...] | Problem | None:
        found = parse_words(value)
        return tuple(dict.fromkeys(found)) if isinstance(found, tuple) else found


LABELS = ClassSetLabels
