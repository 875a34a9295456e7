"""Contract of a task kind's labels, as ingest reads them; without torch."""

import json
import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import pyarrow as pa

from components.common.errors import InputError, Problem

Cell = str | float | Sequence[str] | None  # of a table; None is empty
Label = str | float | Sequence[str]
SEPARATOR = "|"  # by default, between the labels in a cell of a table without lists
WHOLE = re.compile(r"-?[0-9]+\.0+")  # a whole number with a fraction
NULL = Problem("label_malformed", "a label in the list is null, expected a word or a number")
Vocabulary = Mapping[str, Any]  # JSON: the fields of a kind's `Labels`


@dataclass
class LabelEncoder(ABC):
    """Learns a task's vocabulary from its labels in the training split, one by one."""

    name: str  # of the task
    task: Any  # its settings

    @abstractmethod
    def add(self, label: Any) -> None:
        """Learn from one label, as `Labels.parse` returned it."""

    @abstractmethod
    def finish(self) -> Vocabulary:
        """Return what was learnt.

        Raises:
            InputError: the labels do not suffice to learn the task.
        """

    def _refuse(self, found: str, expected: str) -> InputError:
        column = f"tasks.{self.name}: column {self.task.column!r}"
        return InputError(f"{column} holds {found} in the training split, {expected}")


class Labels(ABC):
    """Labels of a task; the fields of a subclass are its vocabulary."""

    TYPE: ClassVar[pa.DataType]  # of the task's column in the samples
    Encoder: ClassVar[type[LabelEncoder]]
    SEVERAL_RIGHT: ClassVar[bool] = False  # an asset that decides the task may have several labels
    COUNTED: ClassVar[bool] = True  # labels recur: the data report counts how often each occurs

    @staticmethod
    @abstractmethod
    def parse(value: Cell) -> Label | Problem | None:
        """Return the label in a cell of a source; None if it is empty."""

    @classmethod
    def parser(cls, task: Any) -> Callable[[Cell], Label | Problem | None]:
        """Return `parse` with the settings of a task."""
        return cls.parse

    def problem(self, label: Any) -> Problem | None:
        """Return why a label can be neither learnt nor evaluated, if so."""
        return None

    @staticmethod
    def to_text(label: Any) -> str:
        """Return a label as one string, for tables; several words as a JSON list."""
        return label if isinstance(label, str) else json.dumps(list(label), ensure_ascii=False)


def parse_word(value: Any) -> str | Problem | None:
    """Return one label, None for an empty cell; whole numbers have no fraction, as words too."""
    return _parse_word(value) if isinstance(value, str) else parse_text(value)


@lru_cache(maxsize=512)  # labels recur
def _parse_word(value: str) -> str | None:
    found = _normalised(value)
    if found and WHOLE.fullmatch(found):
        return found.partition(".")[0].removeprefix("-" if float(found) == 0 else "")
    return found


def parse_text(value: Any) -> str | Problem | None:
    """Return a text as it is, a number as one; None for an empty cell."""
    if value is None:
        return None
    if isinstance(value, str):
        return _normalised(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return Problem("label_not_finite", f"the label is {value}, expected a word or a number")
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else str(value)
    detail = f"the label is {value!r}, expected a word or a number; lists need kind: multilabel"
    return Problem("label_malformed", detail)


def _normalised(value: str) -> str | None:
    return unicodedata.normalize("NFC", value).strip() or None


def parse_words(value: Cell, separator: str = SEPARATOR) -> tuple[str, ...] | Problem | None:
    """Return several labels: a list, a JSON list in a string, or words with a separator."""
    items = _split(value, separator) if isinstance(value, str) else value
    if items is None or isinstance(items, Problem):
        return items
    if isinstance(items, int | float):
        items = (items,)
    found = [NULL if item is None else parse_word(item) for item in items]
    problems = (item for item in found if isinstance(item, Problem))
    return next(problems, tuple(item for item in found if isinstance(item, str)))


def _split(value: str, separator: str) -> Sequence[Any] | Problem | None:
    if not value.strip():
        return None
    if not value.lstrip().startswith("["):
        return value.split(separator)
    try:
        return json.loads(value)
    except ValueError as error:
        if '"' not in value and (words := _python_list(value)) is not None:
            return words
        detail = f'the labels are not a JSON list, as ["a", "b"]: {error}'
        return Problem("label_malformed", detail)


def _python_list(value: str) -> list[Any] | None:
    """Return the list in a text that Python wrote without double quotes; None if there is none."""
    try:
        found = json.loads(value.replace("'", '"'))
    except ValueError:
        return None
    return found if isinstance(found, list) else None
