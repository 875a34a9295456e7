"""Baseline of multi-label classification: a linear support vector machine per class."""

import json
from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from components.tasks.baseline import Baseline, Matrix, Scores
from components.tasks.linear_svm import one_vs_rest


class MultilabelBaseline(Baseline):
    """Scores are margins of the classes, of which the positive ones are predicted."""

    CONSTANT = "majority"

    def constant(self, labels: Sequence[Sequence[str]], weights: np.ndarray) -> np.ndarray:
        return weights @ self._targets(labels) / weights.sum() - 0.5

    def fit(
        self,
        features: Matrix,
        labels: Sequence[Sequence[str]],
        weights: np.ndarray,
        strength: float,
    ) -> Scores:
        return one_vs_rest(features, self._targets(labels), weights, strength, self.is_balanced)

    def predictions(self, scores: np.ndarray) -> list[str]:
        return list(map(json.dumps, expit(scores).tolist()))

    def _targets(self, labels: Sequence[Sequence[str]]) -> np.ndarray:
        """Return which classes are right, bool [N, classes]."""
        return np.array([[name in label for name in self.labels.classes] for label in labels])


BASELINE = MultilabelBaseline
