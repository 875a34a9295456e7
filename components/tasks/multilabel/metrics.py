"""Metrics of multi-label classification."""

import json

import numpy as np
import pandas as pd

from components.common.metrics import PROBABILITY_THRESHOLD, Metric
from components.tasks.metrics import TaskMetrics


class MultilabelMetrics(TaskMetrics):
    """F1 over all decisions, and the mean of the average precision of the classes."""

    DEFINITIONS = (Metric("f1", primary=True), Metric("mean_average_precision"))

    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        hits, decisions = (values.sum() for values in self.contributions(rows))
        result = {"f1": float(hits / decisions) if decisions else 1.0}
        if precisions := self.average_precisions(rows):
            result["mean_average_precision"] = float(np.mean(list(precisions.values())))
        return result

    def contributions(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        _, targets, scores = self.matrices(rows)
        chosen = scores > PROBABILITY_THRESHOLD
        return 2.0 * (chosen & targets).sum(1), 1.0 * chosen.sum(1) + targets.sum(1)

    def is_wrong(self, rows: pd.DataFrame) -> pd.Series:
        _, targets, scores = self.matrices(rows)
        return pd.Series((targets != (scores > PROBABILITY_THRESHOLD)).any(1), rows.index)

    def display(self, prediction: str) -> str:
        scores = zip(self.labels.classes, json.loads(prediction), strict=True)
        return ", ".join(name for name, score in scores if score > PROBABILITY_THRESHOLD) or "none"

    def average_precisions(self, rows: pd.DataFrame) -> dict[str, float]:
        """Return the average precision of each class that occurs in `rows`."""
        classes, targets, scores = self.matrices(rows)
        return {
            name: average_precision(targets[:, code], scores[:, code])
            for code, name in enumerate(classes)
            if targets[:, code].any()
        }

    def matrices(self, rows: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return the classes, what is true, bool [n, classes], and probabilities, float.

        Classes that the model does not know come last, with probabilities of 0.
        """
        sets = [set(json.loads(target)) for target in rows["target"]]
        unknown = sorted(set().union(*sets).difference(self.labels.classes))
        classes = [*self.labels.classes, *unknown]
        targets = np.array([[name in found for name in classes] for found in sets])
        scores = np.array([json.loads(prediction) for prediction in rows["prediction"]])
        return classes, targets, np.pad(scores, ((0, 0), (0, len(unknown))))


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean of the precision at each target in the ranking; ties share a place.

    `targets` is bool [n], at least one true; `scores` is float [n].
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.diff(scores[order]) != 0, True).nonzero()[0]  # last of each equal score
    hits = targets[order].cumsum()[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


METRICS = MultilabelMetrics
