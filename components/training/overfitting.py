"""Overfitting: training and validation part when a task is far better on training samples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from components.common.metrics import Metric

MIN_GAP = 0.1  # between figures: fractions, or errors in standard deviations
MAX_COMPARED = 2_000  # training samples
TRAINING = "training "  # begins the series of a training figure in a history


@dataclass(frozen=True)
class Measured:
    """A metric of a task on some samples."""

    metric: Metric
    value: float
    count: int  # of samples


Measurements = Mapping[str, Measured]  # by task


def some_of(count: int, held_out: int) -> Tensor:
    """Return which of `count` training samples are compared with validation samples, int64."""
    number = min(count, held_out, MAX_COMPARED)
    return torch.arange(number) * count // max(1, number)


def parted(training: Measurements, validation: Measurements) -> Iterator[tuple[str, str, float]]:
    """Yield rows of a history, without the epoch, for tasks that are far better in training.

    By more than `MIN_GAP`, and by more than 1 / √n for n validation samples: two standard errors of
    a fraction, or more.
    """
    for task, seen in training.items():
        if task in validation:
            unseen = validation[task]
            gap = seen.metric.improvement(seen.value, unseen.value)
            if gap > max(MIN_GAP, unseen.count**-0.5):
                yield TRAINING + seen.metric.name, task, seen.value


def warning(stage: str, history: pd.DataFrame) -> str | None:
    """Return a sentence about the tasks that a history says are far better in training, if any.

    Args:
        stage: that trained.
        history: a table as `HISTORY`.
    """
    values = history.set_index(["series", "task", "epoch"])["value"]
    rows = history[history["series"].str.startswith(TRAINING)]
    found = []
    for epoch, series, task, value in rows.itertuples(index=False):
        name = series.removeprefix(TRAINING)
        unseen = values[name, task, epoch]
        found.append(f"{name} of {task} is {value:.2f} in training, {unseen:.2f} in validation")
    if not found:
        return None
    return (
        f"{stage}: training and validation part: {'; '.join(found)}; more augmentation, dropout or "
        "weight_decay, early_stopping, or fewer epochs may help"
    )
