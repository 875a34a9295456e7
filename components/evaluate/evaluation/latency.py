"""How long predictions from raw media take."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

SINGLE_ROWS, BATCH_ROWS, BATCH_REPEATS, WARM_UP = 60, 32, 10, 5
PERCENTILES = {"median_ms": 50, "p95_ms": 95}


def measure_latency(
    predict: Callable[[pd.DataFrame], object], rows: pd.DataFrame
) -> dict[str, Any]:
    """Return the latency of single rows of raw media and of a batch of them, after a warm-up."""
    singles, batch = [rows.iloc[[place]] for place in range(len(rows))], rows.head(BATCH_ROWS)
    for row in singles[:WARM_UP]:
        predict(row)
    return {
        "threads": torch.get_num_threads(),
        "batch_rows": len(batch),
        "single": _percentiles(predict, singles),
        "batch": _percentiles(predict, [batch] * BATCH_REPEATS),
    }


def _percentiles(
    predict: Callable[[pd.DataFrame], object], inputs: Sequence[pd.DataFrame]
) -> dict[str, float]:
    times = []
    for rows in inputs:
        start = time.perf_counter()
        predict(rows)
        times.append(1000 * (time.perf_counter() - start))
    return {name: float(np.percentile(times, at)) for name, at in PERCENTILES.items()}
