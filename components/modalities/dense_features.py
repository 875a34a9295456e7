"""Plain features that are a fixed number of measurements per asset."""

from typing import Any, Self

import numpy as np
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.common.standard_scores import clipped

MAX_COMPONENTS = 128


class PrincipalComponents(TransformerMixin, BaseEstimator):
    """The projection of standardised features that keeps most of their variance, scaled down.

    Rows have lengths of about 1. A single asset is enough to fit it.
    """

    def fit(self, standardised: np.ndarray, _: Any = None) -> Self:
        """Learn the directions, from [N, D]."""
        width = standardised.shape[1]
        first = max(0, width - MAX_COMPONENTS)
        covariance = standardised.T @ standardised
        _, directions = eigh(covariance, subset_by_index=(first, width - 1))
        self.directions_ = directions / np.sqrt(width)  # [D, components]
        return self

    def transform(self, standardised: np.ndarray) -> np.ndarray:
        """Return [N, components]."""
        return clipped(standardised) @ self.directions_


def dense_vectorizer(*steps: Any) -> Any:
    """Return a transformer of N vectors to a matrix [N, D], after `steps` that give the vectors."""
    return make_pipeline(*steps, StandardScaler(), PrincipalComponents())
