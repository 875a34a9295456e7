"""Baseline of classification: a linear support vector machine."""

from collections.abc import Sequence

import numpy as np

from components.tasks.baseline import Baseline, Matrix, Scores, count
from components.tasks.linear_svm import one_vs_rest

FAINT = 1e-9  # margin that any other outweighs


class ClassificationBaseline(Baseline):
    """Scores are margins of the classes, of which the greatest is predicted."""

    CONSTANT = "majority"

    def constant(self, labels: Sequence[str], weights: np.ndarray) -> np.ndarray:
        return weights @ self._targets(labels)

    def fit(
        self, features: Matrix, labels: Sequence[str], weights: np.ndarray, strength: float
    ) -> Scores:
        targets = self._targets(labels)
        if len(set(labels)) == 1:  # which says nothing beside other modalities
            return lambda found: np.tile(FAINT * targets[0], (count(found), 1))
        return one_vs_rest(features, targets, weights, strength, self.is_balanced)

    def predictions(self, scores: np.ndarray) -> list[str]:
        return [self.labels.classes[code] for code in scores.argmax(1)]

    def _targets(self, labels: Sequence[str]) -> np.ndarray:
        """Return which class is right, bool [N, classes]."""
        codes = np.array([self.labels.codes[label] for label in labels])
        return codes[:, None] == np.arange(len(self.labels.classes))


BASELINE = ClassificationBaseline
