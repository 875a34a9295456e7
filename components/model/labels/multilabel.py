"""Any number of several classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from components.model.labels.classification import ClassLabels, ClassLearner, unknown
from components.model.labels.words import words
from components.store.errors import Problem

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
        targets, scores = self.matrices(rows)
        chosen = scores > THRESHOLD
        hits, decisions = (chosen & targets).sum(), chosen.sum() + targets.sum()
        result = {"f1": float(2 * hits / decisions) if decisions else 1.0}
        if precisions := self.average_precisions(rows):
            result["mean_average_precision"] = float(np.mean(list(precisions.values())))
        return result

    def average_precisions(self, rows: pd.DataFrame) -> dict[str, float]:
        """The average precision of each class that occurs in `rows`."""
        targets, scores = self.matrices(rows)
        return {
            name: average_precision(targets[:, code], scores[:, code])
            for code, name in enumerate(self.classes)
            if targets[:, code].any()
        }

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`: another set of classes."""
        targets, scores = self.matrices(rows)
        return pd.Series((targets != (scores > THRESHOLD)).any(1), rows.index)

    def matrices(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """What is true, bool [n, classes], and the probabilities predicted, float [n, classes]."""
        sets = [set(json.loads(target)) for target in rows["target"]]
        targets = np.array([[name in found for name in self.classes] for found in sets])
        scores = np.array([json.loads(prediction) for prediction in rows["prediction"]])
        return targets, scores


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
