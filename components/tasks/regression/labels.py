"""Labels that are numbers."""

import math
import re
from dataclasses import dataclass
from typing import SupportsFloat

import pyarrow as pa

from components.common.errors import Problem
from components.common.spelling import LONGEST
from components.tasks.labels import Cell, LabelEncoder, Labels, Vocabulary


@dataclass
class NumberLabelEncoder(LabelEncoder):
    """Mean and standard deviation, in one pass (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of the squared distances from the mean

    def add(self, label: float) -> None:
        self.count += 1
        distance = label - self.mean
        self.mean += distance / self.count
        self.squares += distance * (label - self.mean)

    def finish(self) -> Vocabulary:
        variance = self.squares / max(self.count, 1)
        if not math.isfinite(variance):
            raise self._refuse("numbers whose squares are too large", "numbers below 1e150 work")
        if not variance:
            found = f"{self.count} numbers, all equal to {self.mean:g}" if self.count else "nothing"
            raise self._refuse(found, "at least 2 different numbers are needed")
        return {"mean": self.mean, "deviation": math.sqrt(variance)}


@dataclass(frozen=True)
class NumberLabels(Labels):
    """A number per sample; the model learns it in standard deviations from the mean."""

    TYPE = pa.float64()
    Encoder = NumberLabelEncoder

    mean: float
    deviation: float

    @staticmethod
    def parse(value: Cell) -> float | Problem | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            number = float(value if isinstance(value, str | SupportsFloat) else "")
        except (ValueError, OverflowError):
            detail = f"the label is {str(value)[:LONGEST]!r}, expected a number{_way_out(value)}"
            return Problem("label_not_a_number", detail)
        if not math.isfinite(number):
            detail = f"the label is {number}, expected a finite number; if unknown, an empty cell"
            return Problem("label_not_finite", detail)
        return number

    @staticmethod
    def to_text(label: float) -> str:
        return repr(float(label))  # with every digit


def _way_out(value: object) -> str:
    """Return how to write what is no number, as far as it can be told."""
    text = str(value)
    if not any(char.isdigit() for char in text):
        return "; if it is unknown, leave the cell empty"
    if re.fullmatch(r"\s*[+-]?[0-9]+,([0-9]{1,2}|[0-9]{4,})\s*", text):
        return '; of a table with decimal commas, set ingest.source.decimal: ","'
    return " alone, without units, signs of currencies or marks between thousands"


LABELS = NumberLabels
