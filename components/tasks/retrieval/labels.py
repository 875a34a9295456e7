"""A word that assets share which belong together: what retrieval finds one by the other with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.common.errors import Problem
from components.tasks.label_parsing import word
from components.tasks.labels import Labels, Learner, Vocabulary

FIRST = (1, 5, 10)  # so many of what was found are looked at


@dataclass
class ValueLearner(Learner):
    """Nothing: that two assets share a value counts, not which one."""

    value: str | None = None
    several: bool = False

    def add(self, label: str) -> None:
        """See `Learner`."""
        self.several |= self.value not in (None, label)
        self.value = label

    def finish(self) -> Vocabulary:
        """See `Learner`."""
        if not self.several:
            found = "nothing" if self.value is None else f"one value, {self.value!r},"
            raise self._refuse(found, "at least 2 different values are needed")
        return {}


@dataclass(frozen=True)
class ValueLabels(Labels):
    """A value a sample, which the assets of the sample carry."""

    TYPE = pa.string()
    Learner = ValueLearner

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> str | Problem | None:
        """See `Labels`."""
        return None if value is None else word(value)

    def problem(self, label: str) -> Problem | None:
        """See `Labels`: a value that training never had can be shared as well."""
        return None


def rank_metrics(ranks: Sequence[int]) -> dict[str, float]:
    """How well right assets are found.

    Args:
        ranks: at least one; a query's is the place of its first right asset, from 1.

    Returns:
        The share of the queries that have a right asset among the first 1, 5 and 10, and the
        median rank; of an even number of queries, the mean of the two in the middle.
    """
    found = np.asarray(ranks)
    recall = {f"recall_at_{k}": float((found <= k).mean()) for k in FIRST}
    return recall | {"median_rank": float(np.median(found))}
