"""Baseline of regression: ridge regression."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import Ridge

from components.tasks.baseline import Baseline, Matrix, Scores


class RegressionBaseline(Baseline):
    """Scores are numbers in standard deviations from the mean; modalities add up to their mean."""

    CONSTANT = "mean"

    def constant(self, labels: Sequence[float], weights: np.ndarray) -> np.ndarray:
        return np.average(self._targets(labels), weights=weights, keepdims=True)

    def fit(
        self, features: Matrix, labels: Sequence[float], weights: np.ndarray, strength: float
    ) -> Scores:
        model = Ridge(alpha=1 / strength, solver="lsqr")
        model.fit(features, self._targets(labels), weights / weights.mean())
        return lambda found: model.predict(found)[:, None]

    def fuse(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        return np.mean(scores, axis=0)

    def predictions(self, scores: np.ndarray) -> list[str]:
        numbers = scores[:, 0] * self.labels.deviation + self.labels.mean
        return [repr(float(number)) for number in numbers]

    def _targets(self, labels: Sequence[float]) -> np.ndarray:
        """Return the labels in standard deviations from the mean, [N]."""
        return (np.array(labels, float) - self.labels.mean) / self.labels.deviation


BASELINE = RegressionBaseline
