"""Metrics of a few predictions, against values computed by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from components.tasks.classification.metrics import macro_f1
from components.tasks.metrics import TaskMetrics
from components.tasks.multilabel.metrics import average_precision
from components.tasks.registry import labels_of, metrics_of


def metrics(kind: str, *vocabulary) -> TaskMetrics:
    return metrics_of(kind)(labels_of(kind)(*vocabulary))


def rows(targets: list, predictions: list) -> pd.DataFrame:
    columns = [
        [value if isinstance(value, str) else json.dumps(value) for value in values]
        for values in (targets, predictions)
    ]
    index = range(5, 5 + len(targets))  # any index
    return pd.DataFrame(dict(zip(("target", "prediction"), columns, strict=True)), index)


def test_classification():
    table = rows(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    found = metrics("classification", ["a", "b"])
    macro_f1 = (2 * 2 / (2 + 3) + 2 * 1 / (2 + 1)) / 2
    assert found.compute(table) == {"accuracy": 0.75, "macro_f1": pytest.approx(macro_f1)}
    assert found.is_wrong(table).tolist() == [False, False, True, False]
    assert found.HAS_CEILING


@pytest.mark.parametrize(
    ("targets", "predictions"),
    [("aabbc", "abbca"), ("aaaa", "aaab"), ("ab", "ba"), ("aaab", "aaaa"), ("a", "a")],
)
def test_macro_f1_is_that_of_scikit_learn(targets, predictions):
    """Over the classes that are true or predicted."""
    found = macro_f1(pd.Series([*targets]), pd.Series([*predictions]))
    expected = f1_score([*targets], [*predictions], average="macro", zero_division=0)
    assert found == pytest.approx(expected)


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
    multilabel = metrics("multilabel", ["cat", "dog", "emu"])
    table = rows(
        [["cat"], ["dog", "cat"], [], ["dog"]],
        [[0.9, 0.1, 0.1], [0.6, 0.4, 0.7], [0.2, 0.3, 0.1], [0.1, 0.8, 0.2]],
    )
    # predicted: cat; cat, emu; none; dog: 3 of 4 predictions are right, of 4 labels 3 are found
    found = multilabel.compute(table)
    assert list(found) == ["f1", "mean_average_precision"]
    assert found["f1"] == pytest.approx(2 * 3 / 8)
    assert multilabel.average_precisions(table) == {"cat": 1.0, "dog": 1.0}  # emu does not occur
    assert found["mean_average_precision"] == 1.0
    assert multilabel.is_wrong(table).tolist() == [False, True, False, False]
    shown = [multilabel.display(prediction) for prediction in table["prediction"]]
    assert shown == ["cat", "cat, emu", "none", "dog"]


def test_multilabel_of_nothing_is_perfect():
    table = rows([[], []], [[0.1, 0.2], [0.3, 0.4]])
    assert metrics("multilabel", ["a", "b"]).compute(table) == {"f1": 1.0}


def test_label_unknown_to_the_model_counts_as_missed():
    table = rows([["a", "new"]], [[0.9, 0.2]])
    found = metrics("multilabel", ["a", "b"])
    assert found.compute(table)["f1"] == pytest.approx(2 * 1 / 3)
    assert found.is_wrong(table).tolist() == [True]


def test_regression():
    regression = metrics("regression", 0.0, 1.0)
    found = regression.compute(rows([1.0, 2.0, 6.0], [2.0, 2.0, 3.0]))
    # errors 1, 0, 3; squares 10 of (4 + 1 + 9) around the mean 3
    assert found == pytest.approx({"mean_absolute_error": 4 / 3, "r2": 1 - 10 / 14})
    assert regression.compute(rows([2.0, 2.0], [1.0, 2.0])) == {"mean_absolute_error": 0.5}
    assert not regression.is_wrong(rows([1.0], [9.0])).any()
    primary = regression.primary()
    assert (primary.name, primary.higher_is_better) == ("mean_absolute_error", False)


def test_vqa():
    vqa = metrics("vqa", ["yes", "no"])
    table = rows([["Yes"] * 10, ["no"] * 2 + ["dunno"] * 8, ["dunno"] * 10], ["yes", "no", "yes"])
    assert vqa.compute(table)["vqa_accuracy"] == pytest.approx((1 + 0.6 + 0) / 3)
    assert vqa.is_wrong(table).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "vocabulary", "targets", "predictions"),
    [
        ("classification", [["a", "b"]], ["a", "b", "b"], ["a", "a", "b"]),
        ("multilabel", [["a", "b"]], [["a"], [], ["b"]], [[0.9, 0.9], [0.1, 0.2], [0.6, 0.7]]),
        ("regression", [0.0, 1.0], [1.0, 2.0, 6.0], [2.0, 2.0, 3.0]),
        ("vqa", [["yes", "no"]], [["yes"], ["no"] * 10, ["no"] * 10], ["yes", "no", "yes"]),
        ("generation", [[], 8, "greedy"], [["a b c d"], ["e"]], ["a b d", "e f"]),
    ],
)
def test_contributions_add_up_to_the_primary_metric(kind, vocabulary, targets, predictions):
    found, table = metrics(kind, *vocabulary), rows(targets, predictions)
    numerator, denominator = found.contributions(table)
    assert len(numerator) == len(denominator) == len(table)
    expected = found.compute(table)[found.primary().name]
    assert numerator.sum() / denominator.sum() == pytest.approx(expected)
    defined = {metric.name for metric in found.DEFINITIONS}
    assert set(found.compute(table)) <= defined


@pytest.mark.parametrize(
    ("kind", "label", "text"),
    [
        ("classification", "é", "é"),
        ("multilabel", np.array(["é", "b"], dtype=object), '["é", "b"]'),
        ("regression", np.float64(0.1) + 0.2, "0.30000000000000004"),
        ("vqa", ("a", "a"), '["a", "a"]'),
    ],
)
def test_label_as_text_loses_nothing(kind, label, text):
    assert labels_of(kind).to_text(label) == text


@pytest.mark.parametrize(
    ("kind", "name", "value", "text"),
    [
        ("classification", "accuracy", 0.12345, "12.35%"),
        ("regression", "mean_absolute_error", 12.34567, "12.35"),
        ("regression", "r2", -0.5, "-0.5"),
        ("generation", "cider", 1.25, "1.25"),
        ("generation", "bleu_4", 0.25, "25.00%"),
    ],
)
def test_only_fractions_are_shown_in_per_cent(kind, name, value, text):
    found = {metric.name: metric for metric in metrics_of(kind).DEFINITIONS}
    assert found[name].format(value) == text
