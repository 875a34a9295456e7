"""Contract of a task kind's baseline: a simple model over plain features, without torch.

A kind without a part `baseline` has none.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandera.pandas as pa
from scipy.sparse import csr_matrix

BASELINES = pa.DataFrameSchema(
    {
        "sample_id": pa.Column(str),
        "split": pa.Column(str, pa.Check.isin(("validation", "test"))),
        "task": pa.Column(str),
        "baseline": pa.Column(str),  # the modalities that it sees, as image-text, or its constant
        "numerator": pa.Column(float),  # the task's primary metric is the quotient of the sums
        "denominator": pa.Column(float),
    },
    strict=True,
    name="predictions of baselines",
)

Matrix = np.ndarray | csr_matrix  # plain features of n examples, [n, D]
Scores = Callable[[Matrix], np.ndarray]  # [n, D] → [n, outputs]


def count(features: Matrix) -> int:
    """Return the number of examples."""
    shape: Any = features.shape  # which SciPy declares as one that may be missing
    return shape[0]


class Baseline(ABC):
    """What a baseline learns of one task.

    Args:
        labels: of the task, as ingest learnt them.
        is_balanced: whether every class is to count the same.
    """

    CONSTANT: ClassVar[str]  # name of the baseline that sees nothing
    STRENGTHS: ClassVar[tuple[float, ...]] = (0.1, 1.0, 10.0, 100.0)  # how closely to fit, rising

    def __init__(self, labels: Any, is_balanced: bool = False):
        self.labels, self.is_balanced = labels, is_balanced

    @abstractmethod
    def constant(self, labels: Sequence[Any], weights: np.ndarray) -> np.ndarray:
        """Return scores that suit weighted labels best without any features, [outputs]."""

    @abstractmethod
    def fit(
        self, features: Matrix, labels: Sequence[Any], weights: np.ndarray, strength: float
    ) -> Scores:
        """Return a model of labels, at least one."""

    def fuse(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Return the scores of several modalities together, all [n, outputs]: their sum."""
        return np.sum(scores, axis=0)

    @abstractmethod
    def predictions(self, scores: np.ndarray) -> list[str]:
        """Return n predictions as `PREDICTIONS` has them."""
