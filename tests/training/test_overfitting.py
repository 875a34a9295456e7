"""Training and validation part, or they do not, and a sentence says so."""

import pandas as pd
import pytest

from components.common.metrics import Metric
from components.training.overfitting import MAX_COMPARED, Measured, parted, some_of, warning
from components.training.tables import HISTORY

ACCURACY = Metric("accuracy")
ERROR = Metric("absolute_error", higher_is_better=False, unit="standard deviations")


@pytest.mark.parametrize(
    ("metric", "seen", "unseen", "count", "parts"),
    [
        (ACCURACY, 0.95, 0.84, 1000, True),
        (ACCURACY, 0.95, 0.86, 1000, False),
        (ACCURACY, 0.84, 0.95, 1000, False),
        (ACCURACY, 0.95, 0.76, 25, False),  # chance can do that
        (ACCURACY, 0.95, 0.74, 25, True),
        (ACCURACY, 1.0, 0.0, 1, False),
        (ERROR, 0.2, 0.35, 1000, True),
        (ERROR, 0.35, 0.2, 1000, False),
    ],
)
def test_gap_counts_that_is_large_and_no_chance(metric, seen, unseen, count, parts):
    training = {"a": Measured(metric, seen, 5), "only here": Measured(metric, seen, 5)}
    validation = {"a": Measured(metric, unseen, count)}
    expected = [(f"training {metric.name}", "a", seen)] if parts else []
    assert list(parted(training, validation)) == expected


def test_training_samples_are_spread_and_no_more_than_are_needed():
    assert some_of(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert some_of(3, 5).tolist() == [0, 1, 2]
    assert len(some_of(10, 0)) == len(some_of(0, 5)) == 0
    assert len(some_of(10**6, 10**5)) == MAX_COMPARED


def history(*rows: tuple) -> pd.DataFrame:
    return HISTORY.validate(pd.DataFrame(list(rows), columns=list(HISTORY.columns)))


def test_sentence_has_both_figures_of_the_epoch_that_is_kept():
    table = history(
        (0, "accuracy", "digit", 0.7),
        (1, "accuracy", "digit", 0.8125),
        (1, "accuracy", "voice", 0.9),
        (1, "training accuracy", "digit", 0.984),
    )
    assert warning("features_audio", table) == (
        "features_audio: training and validation part: accuracy of digit is 0.98 in training, 0.81 "
        "in validation; more augmentation, dropout or weight_decay, early_stopping, or fewer "
        "epochs may help"
    )


def test_without_a_gap_there_is_no_sentence():
    assert warning("train", history((0, "accuracy all", "answer", 0.7))) is None
    assert warning("train", pd.DataFrame(columns=list(HISTORY.columns))) is None
