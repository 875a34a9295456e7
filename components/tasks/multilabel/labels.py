"""Any number of several classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from components.common.errors import Problem
from components.tasks.classification.labels import ClassLabels, ClassLearner, unknown
from components.tasks.label_parsing import words

THRESHOLD = 0.5  # a class of more than this probability is predicted


class ClassSetLearner(ClassLearner):
    """The classes that occur, sorted."""

    def add(self, label: Sequence[str]) -> None:
        """See `Learner`."""
        self.classes.update(label)


@dataclass(frozen=True)
class ClassSetLabels(ClassLabels):
    """A set of classes a sample; it may be empty."""

    TYPE = pa.list_(pa.string())
    Learner = ClassSetLearner
    COMPARED = "f1"

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> tuple[str, ...] | Problem | None:
        """See `Labels`; each class once, in the order given."""
        found = None if value is None else words(value)
        return tuple(dict.fromkeys(found)) if isinstance(found, tuple) else found

    def problem(self, label: Sequence[str]) -> Problem | None:
        """See `Labels`."""
        return unknown(label, self.codes)

    @staticmethod
    def written(label: Sequence[str]) -> str:
        """See `Labels`: a JSON list."""
        return json.dumps(list(label), ensure_ascii=False)

    def shown(self, prediction: str) -> str:
        """See `Labels`."""
        scores = zip(self.classes, json.loads(prediction), strict=True)
        return ", ".join(name for name, score in scores if score > THRESHOLD) or "none"

    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """F1 over all decisions at once, and the mean of the classes' average precision."""
        hits, decisions = (values.sum() for values in self.shares(rows))
        result = {"f1": float(hits / decisions) if decisions else 1.0}
        if precisions := self.average_precisions(rows):
            result["mean_average_precision"] = float(np.mean(list(precisions.values())))
        return result

    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """See `Labels`."""
        _, targets, scores = self.matrices(rows)
        chosen = scores > THRESHOLD
        return 2.0 * (chosen & targets).sum(1), 1.0 * chosen.sum(1) + targets.sum(1)

    def average_precisions(self, rows: pd.DataFrame) -> dict[str, float]:
        """The average precision of each class that occurs in `rows`."""
        classes, targets, scores = self.matrices(rows)
        return {
            name: average_precision(targets[:, code], scores[:, code])
            for code, name in enumerate(classes)
            if targets[:, code].any()
        }

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`: another set of classes."""
        _, targets, scores = self.matrices(rows)
        return pd.Series((targets != (scores > THRESHOLD)).any(1), rows.index)

    def matrices(self, rows: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The classes, what is true, bool [n, classes], and the probabilities, float [n, classes].

        Classes that are new in `rows` come last; the model, which never knew them, gives them 0.
        """
        sets = [set(json.loads(target)) for target in rows["target"]]
        new = sorted(set().union(*sets).difference(self.classes))
        classes = [*self.classes, *new]
        targets = np.array([[name in found for name in classes] for found in sets])
        scores = np.array([json.loads(prediction) for prediction in rows["prediction"]])
        return classes, targets, np.pad(scores, ((0, 0), (0, len(new))))


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Precision at each place of a target in the ranking, averaged; equal scores share a place.

    Args:
        targets: bool [n], at least one true.
        scores: float [n].
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.diff(scores[order]) != 0, True).nonzero()[0]  # last of each equal score
    hits = targets[order].cumsum()[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])
