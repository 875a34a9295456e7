"""A number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from components.common.errors import Problem
from components.tasks.labels import Learner, PredictedLabels, Vocabulary


@dataclass
class NumberLearner(Learner):
    """Mean and standard deviation, in one pass (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of the squared distances from the mean

    def add(self, label: float) -> None:
        """See `Learner`."""
        self.count += 1
        distance = label - self.mean
        self.mean += distance / self.count
        self.squares += distance * (label - self.mean)

    def finish(self) -> Vocabulary:
        """See `Learner`."""
        variance = self.squares / max(self.count, 1)
        if not math.isfinite(variance):
            raise self._refuse("numbers whose squares are too large", "numbers below 1e150 work")
        if not variance:
            found = f"{self.count} numbers, all equal to {self.mean:g}" if self.count else "nothing"
            raise self._refuse(found, "at least 2 different numbers are needed")
        return {"mean": self.mean, "deviation": math.sqrt(variance)}


@dataclass(frozen=True)
class NumberLabels(PredictedLabels):
    """A number a sample; the model learns it in standard deviations from the mean."""

    TYPE = pa.float64()
    Learner = NumberLearner
    COMPARED = "mean_absolute_error"

    mean: float
    deviation: float

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> float | Problem | None:
        """See `Labels`."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return Problem("label_not_a_number", f"the label is {value!r}, expected a number")
        if not math.isfinite(number):
            return Problem("label_not_finite", f"the label is {number}, expected a finite number")
        return number

    def problem(self, label: float) -> Problem | None:
        """See `Labels`: any finite number can be used."""
        return None

    @staticmethod
    def written(label: float) -> str:
        """See `Labels`: every digit of it."""
        return repr(float(label))

    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """The mean absolute error in the label's unit, and R², the share of variance explained."""
        targets, errors = rows["target"].astype("float64"), self.errors(rows)
        result = {"mean_absolute_error": float(np.abs(errors).mean())}
        if variation := float(((targets - targets.mean()) ** 2).sum()):
            result["r2"] = 1 - float((errors**2).sum()) / variation
        return result

    def errors(self, rows: pd.DataFrame) -> np.ndarray:
        """float [n]: what is true less what is predicted."""
        return (rows["target"].astype("float64") - rows["prediction"].astype("float64")).to_numpy()

    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """See `Labels`."""
        return np.abs(self.errors(rows)), np.ones(len(rows))

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`: a number is near or far, and never plainly wrong."""
        return pd.Series(False, rows.index)
