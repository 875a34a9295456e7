"""Metrics of a few predictions, against what can be counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from components.model.labels import LABELS
from components.model.labels.labels import written
from components.model.labels.multilabel import average_precision
from components.model.labels.retrieval import rank_metrics


def rows(targets: list, predictions: list) -> pd.DataFrame:
    spelt = [
        [value if isinstance(value, str) else json.dumps(value) for value in values]
        for values in (targets, predictions)
    ]
    index = range(5, 5 + len(targets))  # any index
    return pd.DataFrame(dict(zip(("target", "prediction"), spelt, strict=True)), index)


def test_classification():
    table = rows(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    labels = LABELS["classification"](["a", "b"])
    assert labels.metrics(table) == {"accuracy": 0.75}
    assert labels.wrong(table).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("targets", "scores", "expected"),
    [
        ([1, 0, 0], [0.9, 0.5, 0.1], 1.0),
        ([0, 0, 1], [0.9, 0.5, 0.1], 1 / 3),
        ([1, 0, 1], [0.9, 0.5, 0.1], (1 + 2 / 3) / 2),
        ([1, 0], [0.5, 0.5], 1 / 2),  # no order among equals
        ([0, 1], [0.5, 0.5], 1 / 2),
        ([1, 1, 0, 1], [0.9, 0.5, 0.5, 0.1], (1 + 2 / 3 + 3 / 4) / 3),
    ],
)
def test_average_precision(targets, scores, expected):
    found = average_precision(np.array(targets, dtype=bool), np.array(scores))
    assert found == pytest.approx(expected)


def test_multilabel():
    labels = LABELS["multilabel"](["cat", "dog", "emu"])
    table = rows(
        [["cat"], ["dog", "cat"], [], ["dog"]],
        [[0.9, 0.1, 0.1], [0.6, 0.4, 0.7], [0.2, 0.3, 0.1], [0.1, 0.8, 0.2]],
    )
    # predicted: cat; cat, emu; none; dog: 3 of 4 predictions are right, of 4 labels 3 are found
    found = labels.metrics(table)
    assert list(found) == ["f1", "mean_average_precision"]
    assert found["f1"] == pytest.approx(2 * 3 / 8)
    assert labels.average_precisions(table) == {"cat": 1.0, "dog": 1.0}  # emu does not occur
    assert found["mean_average_precision"] == 1.0
    assert labels.wrong(table).tolist() == [False, True, False, False]
    assert [labels.shown(p) for p in table["prediction"]] == ["cat", "cat, emu", "none", "dog"]


def test_multilabel_where_nothing_is_there_and_nothing_is_said():
    table = rows([[], []], [[0.1, 0.2], [0.3, 0.4]])
    assert LABELS["multilabel"](["a", "b"]).metrics(table) == {"f1": 1.0}


def test_regression():
    labels = LABELS["regression"](0.0, 1.0)
    found = labels.metrics(rows([1.0, 2.0, 6.0], [2.0, 2.0, 3.0]))
    # errors 1, 0, 3; squares 10 of (4 + 1 + 9) around the mean 3
    assert found == pytest.approx({"mean_absolute_error": 4 / 3, "r2": 1 - 10 / 14})
    assert next(iter(found)) == "mean_absolute_error"
    assert labels.metrics(rows([2.0, 2.0], [1.0, 2.0])) == {"mean_absolute_error": 0.5}
    assert not labels.wrong(rows([1.0], [9.0])).any()


def test_vqa():
    labels = LABELS["vqa"](["yes", "no"])
    table = rows([["Yes"] * 10, ["no"] * 2 + ["dunno"] * 8, ["dunno"] * 10], ["yes", "no", "yes"])
    assert labels.metrics(table)["vqa_accuracy"] == pytest.approx((1 + 0.6 + 0) / 3)
    assert labels.wrong(table).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "label", "spelt"),
    [
        ("classification", "é", "é"),
        ("multilabel", np.array(["é", "b"], dtype=object), '["é", "b"]'),
        ("regression", np.float64(0.1) + 0.2, "0.30000000000000004"),
        ("vqa", ("a", "a"), '["a", "a"]'),
    ],
)
def test_a_label_in_one_string_loses_nothing(kind, label, spelt):
    assert LABELS[kind].written(label) == spelt


def test_shares_are_read_in_per_cent_and_other_metrics_are_not():
    assert written("accuracy", 0.12345) == "12.35%"
    assert written("mean_absolute_error", 12.34567) == "12.35"
    assert written("r2", -0.5) == "-0.5"


def test_ranks():
    assert rank_metrics([7]) == {
        "recall_at_1": 0.0, "recall_at_5": 0.0, "recall_at_10": 1.0, "median_rank": 7.0,
    }  # fmt: skip
    found = rank_metrics([1, 5, 6, 10, 11, 1])
    assert found["recall_at_1"] == pytest.approx(2 / 6)
    assert found["recall_at_5"] == pytest.approx(3 / 6)
    assert found["recall_at_10"] == pytest.approx(5 / 6)
    assert found["median_rank"] == 5.5
    assert written("median_rank", 5.5) == "5.5" and written("recall_at_5", 0.5) == "50.00%"
