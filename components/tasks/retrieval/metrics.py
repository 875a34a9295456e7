"""Metrics of retrieval, from the ranks of what was to be found."""

from collections.abc import Sequence

import numpy as np
import pandera.pandas as pa

from components.common.metrics import Metric
from components.data.tables import ASSET_ID

CUTOFFS = (1, 5, 10)  # k of recall at k

RANKS = pa.DataFrameSchema(
    {
        "task": pa.Column(str),
        "asset_id": pa.Column(str, ASSET_ID),  # of the query
        "rank": pa.Column(int, pa.Check.ge(1)),  # of the first right asset
        "targets": pa.Column(int, pa.Check.ge(1)),  # number of assets searched
    },
    strict=True,
    name="ranks of retrieval tasks",
)

RETRIEVAL_METRICS = (
    *(Metric(f"recall_at_{k}", primary=k == CUTOFFS[0]) for k in CUTOFFS),
    Metric("median_rank", higher_is_better=False, unit="rank"),
)


def rank_metrics(ranks: Sequence[int]) -> dict[str, float]:
    """Return recall at 1, 5 and 10, and the median rank.

    `ranks` has, of each of one or more queries, the rank of its first right asset, from 1.
    """
    found = np.asarray(ranks)
    recall = {f"recall_at_{k}": float((found <= k).mean()) for k in CUTOFFS}
    return recall | {"median_rank": float(np.median(found))}
