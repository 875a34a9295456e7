"""Training ends when a metric no longer improves."""

import math

import pytest

from components.common.errors import InputError
from components.common.metrics import Metric
from components.training.early_stopping import EarlyStopping
from components.training.settings import EarlyStoppingSettings

ACCURACY = Metric("accuracy all")
ERROR = Metric("absolute_error all", higher_is_better=False)
VALIDATION = {
    ACCURACY: {"answer": 0.1},
    Metric("accuracy image-text"): {"answer": 0.1},
    ERROR: {"size": 0.5},
}


def early_stopping(metric: str, patience: int) -> EarlyStopping:
    stopping = EarlyStopping(EarlyStoppingSettings(metric=metric, patience=patience))
    stopping.watch(VALIDATION, "train")
    return stopping


def history(values: list[float], metric: Metric = ACCURACY, task: str = "answer"):
    rows = [(epoch, metric.name, task, value) for epoch, value in enumerate(values)]
    other = [(epoch, "loss", task, 9.0 - epoch) for epoch in range(len(values))]
    return sorted(rows + other)


@pytest.mark.parametrize(
    ("values", "best", "end"),
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9], 1, 4),
        ([0.5, 0.5, 0.5], 0, 3),  # as good is no improvement
        ([0.1, 0.2, 0.3, 0.4], 3, None),
        ([0.5, 0.4, 0.6, 0.5, 0.7], 4, None),
        ([0.5, math.nan, 0.4], 0, 3),
        ([math.nan, 0.1, 0.2], 2, None),
    ],
)
def test_ends_after_patience_without_improvement(values, best, end):
    stopping = early_stopping("accuracy all/answer", patience=2)
    ends = [n for n in range(len(values) + 1) if stopping.is_over(history(values[:n]))]
    assert next(iter(ends), None) == end
    assert stopping.best_epoch(history(values[:end])) == best


def test_lower_error_is_better():
    stopping = early_stopping("absolute_error all/size", patience=1)
    rows = history([0.5, 0.3, 0.4], ERROR, "size")
    assert stopping.best_epoch(rows) == 1
    assert stopping.is_over(rows)


def test_restored_knows_what_is_better():
    whole = early_stopping("absolute_error all/size", patience=1)
    resumed = EarlyStopping(EarlyStoppingSettings(metric="absolute_error all/size", patience=1))
    resumed.higher_is_better = whole.higher_is_better
    assert resumed.best_epoch(history([0.5, 0.3, 0.4], ERROR, "size")) == 1


def test_unknown_metric_suggests_nearest():
    with pytest.raises(InputError) as error:
        early_stopping("acuracy (all)/answer", patience=1)
    assert "train: early_stopping.metric: found 'acuracy (all)/answer'" in str(error.value)
    assert "Did you mean 'accuracy all/answer'?" in str(error.value)
