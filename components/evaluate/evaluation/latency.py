"""How long predictions from raw media take."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

SINGLE_ROWS, BATCH_ROWS, BATCHES, WARM_UP = 40, 32, 4, 5
REPEATS = 3  # of every prediction, of which the fastest counts
PERCENTILES = {"median_ms": 50, "p95_ms": 95}

Predict = Callable[[pd.DataFrame], object]


def measure_latency(predict: Predict, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the latency of single rows of raw media and of a batch of them, after a warm-up.

    What else the machine does makes predictions slower and never faster, so each is repeated, with
    all others in between, and its fastest time counts.
    """
    singles, batch = [rows.iloc[[place]] for place in range(len(rows))], rows.head(BATCH_ROWS)
    for row in singles[:WARM_UP]:
        predict(row)
    return {
        "threads": torch.get_num_threads(),
        "batch_rows": len(batch),
        "single": _percentiles(predict, singles),
        "batch": _percentiles(predict, [batch] * BATCHES),
    }


def _percentiles(predict: Predict, inputs: Sequence[pd.DataFrame]) -> dict[str, float]:
    times = [[_milliseconds(predict, rows) for rows in inputs] for _ in range(REPEATS)]
    fastest = np.min(times, axis=0)  # [inputs]
    return {name: float(np.percentile(fastest, at)) for name, at in PERCENTILES.items()}


def _milliseconds(predict: Predict, rows: pd.DataFrame) -> float:
    start = time.perf_counter()
    predict(rows)
    return 1000 * (time.perf_counter() - start)
