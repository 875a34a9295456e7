"""Contract of a task kind's metrics, from tables of predictions."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa

from components.common.metrics import Metric

PREDICTIONS = pa.DataFrameSchema(
    {
        "sample_id": pa.Column(str),
        "subset": pa.Column(str),  # of modalities, as image-text
        "task": pa.Column(str),
        "target": pa.Column(str),  # as `Labels.to_text` writes labels
        "prediction": pa.Column(str),  # as `Task.record` writes predictions
        "confidence": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
    },
    strict=True,
    name="predictions",
)


class TaskMetrics(ABC):
    """Metrics of one task's predictions: at least one row of a table as `PREDICTIONS`.

    Args:
        labels: of the task, as the model learnt them.
    """

    DEFINITIONS: ClassVar[tuple[Metric, ...]]  # every metric, the primary one among them
    # Whether the primary metric is the fraction of predictions that equal the label, so that equal
    # assets with different labels limit it.
    HAS_CEILING: ClassVar[bool] = False

    def __init__(self, labels: Any):
        self.labels = labels

    @classmethod
    def primary(cls) -> Metric:
        """Return the metric by which models are compared."""
        return next(metric for metric in cls.DEFINITIONS if metric.primary)

    @abstractmethod
    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        """Return metrics by name, without those that these rows leave undefined."""

    @abstractmethod
    def contributions(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return what each row adds to numerator and denominator of the primary metric: float [n].

        The metric is the quotient of their sums.
        """

    @abstractmethod
    def is_wrong(self, rows: pd.DataFrame) -> pd.Series:
        """Return whether each prediction is plainly wrong, bool [n]."""

    def display(self, prediction: str) -> str:
        """Return a prediction of the table as a person reads it."""
        return prediction


class MeanMetrics(TaskMetrics):
    """Metrics of a task whose primary metric is a mean over its predictions."""

    @abstractmethod
    def scores(self, rows: pd.DataFrame) -> pd.Series:
        """Return the primary metric of each prediction, float [n]."""

    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        return {self.primary().name: float(self.scores(rows).mean())}

    def contributions(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return self.scores(rows).to_numpy(), np.ones(len(rows))

    def is_wrong(self, rows: pd.DataFrame) -> pd.Series:
        return self.scores(rows) == 0


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return numerator / denominator; 1 where that is 0: no class was to be named, none was."""
    ones = np.ones(np.shape(numerator))
    return np.divide(numerator, denominator, out=ones, where=np.asarray(denominator) != 0)
