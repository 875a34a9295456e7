"""One of several classes."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from components.common.errors import Problem
from components.tasks.label_parsing import word
from components.tasks.labels import Learner, PredictedLabels, Vocabulary


@dataclass
class ClassLearner(Learner):
    """The classes that occur, sorted."""

    classes: set[str] = field(default_factory=set)

    def add(self, label: str) -> None:
        """See `Learner`."""
        self.classes.add(label)

    def finish(self) -> Vocabulary:
        """See `Learner`."""
        if len(self.classes) < 2:
            raise self._refuse(f"{len(self.classes)} classes", "at least 2 are needed")
        return {"classes": sorted(self.classes)}


@dataclass(frozen=True)
class ClassLabels(PredictedLabels):
    """A class a sample."""

    TYPE = pa.string()
    Learner = ClassLearner
    COMPARED = "accuracy"

    classes: Sequence[str]

    @cached_property
    def codes(self) -> dict[str, int]:
        """The place of each class."""
        return {name: code for code, name in enumerate(self.classes)}

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> str | Problem | None:
        """See `Labels`."""
        return None if value is None else word(value)

    def problem(self, label: str) -> Problem | None:
        """See `Labels`."""
        return unknown([label], self.codes)

    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """The share of the predictions that are right."""
        return {"accuracy": float((rows["target"] == rows["prediction"]).mean())}

    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """See `Labels`."""
        return (~self.wrong(rows)).to_numpy(float), np.ones(len(rows))

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`."""
        return rows["target"] != rows["prediction"]


def unknown(labels: Sequence[str], classes: Container[str]) -> Problem | None:
    """The problem of labels that are not among the classes."""
    if new := [label for label in labels if label not in classes]:
        named = ", ".join(map(repr, new))
        verb = "does" if len(new) == 1 else "do"
        return Problem("label_unknown", f"{named} {verb} not occur in the training split")
    return None
