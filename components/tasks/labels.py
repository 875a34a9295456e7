"""What every kind of task says about its labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from components.common.errors import InputError, Problem
from components.tasks.settings import TaskSettings

Label = str | float | Sequence[str]
NO_SHARES = {"mean_absolute_error", "r2", "cider", "median_rank"}  # metrics without a per cent
ERRORS = {"mean_absolute_error", "median_rank"}  # metrics that are better the smaller they are

Vocabulary = dict[str, int | float | str | list[str]]  # JSON: the fields of a kind's `Labels`


@dataclass
class Learner(ABC):
    """Learns a task's vocabulary from its labels in the training split, one after the other.

    Attributes:
        name: of the task.
        task: its settings.
    """

    name: str
    task: TaskSettings

    @abstractmethod
    def add(self, label: Label) -> None:
        """Learn from one label, as `Labels.parse` gave it."""

    @abstractmethod
    def finish(self) -> Vocabulary:
        """What was learnt.

        Raises:
            InputError: the labels do not suffice to learn the task.
        """

    def _refuse(self, found: str, expected: str) -> InputError:
        return InputError(
            f"tasks.{self.name}: column {self.task.column!r} holds {found} in the training split, "
            f"{expected}"
        )


class Labels(ABC):
    """The labels of a task as ingest reads them; its fields are the vocabulary, once learnt.

    Attributes:
        TYPE: of the task's column in the samples.
        Learner: learns the vocabulary.
    """

    TYPE: ClassVar[pa.DataType]
    Learner: ClassVar[type[Learner]]

    @staticmethod
    @abstractmethod
    def parse(value: str | float | Sequence[str] | None) -> Label | Problem | None:
        """The label in a cell of a source; None if it is empty."""

    @abstractmethod
    def problem(self, label: Label) -> Problem | None:
        """Why the label cannot be learnt or evaluated, if so."""


class PredictedLabels(Labels):
    """Labels that a head predicts: how they are written, and how good predictions are.

    Attributes:
        COMPARED: the metric by which two models are compared, the quotient of what `shares` sums.
    """

    COMPARED: ClassVar[str]

    @staticmethod
    def written(label: Label) -> str:
        """The label in one string, for tables."""
        return str(label)

    def shown(self, prediction: str) -> str:
        """A prediction of such a table as a person reads it."""
        return prediction

    @abstractmethod
    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """How good predictions are.

        Args:
            rows: at least one, with the columns `target` and `prediction` of `PREDICTIONS`.

        Returns:
            Metrics by name, the main one first; one that these rows leave undefined is left out.
        """

    @abstractmethod
    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """What each prediction adds to the two sums whose quotient is `COMPARED`, float [n] each.

        Args: as those of `metrics`.
        """

    @abstractmethod
    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """bool, a value a row: whether a prediction is plainly wrong."""


def written(metric: str, value: float) -> str:
    """A metric's value as a person reads it."""
    return f"{value:.4g}" if metric in NO_SHARES else f"{value:.2%}"
