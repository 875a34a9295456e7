"""Whether the model is better than the baselines by more than chance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from components.evaluate.baselines import BesideBaseline
from components.evaluate.clusters import clusters
from components.evaluate.comparison.statistics import Pairs, holm, p_better


def significance(
    beside: Sequence[BesideBaseline], samples: pd.DataFrame, group: str, seed: int
) -> list[float]:
    """Return the p-value of the model being better than each baseline, adjusted for their number.

    Args:
        samples: of the test split.
        group: what splits keep together, see `clusters`.
    """
    return holm([p_better(_pairs(row, samples, group), seed) for row in beside])


def _pairs(row: BesideBaseline, samples: pd.DataFrame, group: str) -> Pairs:
    cluster = row.sample_ids.map(clusters(samples, row.subset, group)).to_numpy()
    model, strongest = (_by_cluster(sums, cluster) for sums in (row.model, row.strongest))
    return Pairs(row.metric, model, strongest)


def _by_cluster(sums: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Return the sums of each cluster, [2, n clusters]."""
    return pd.DataFrame(sums.T).groupby(cluster).sum().to_numpy().T
