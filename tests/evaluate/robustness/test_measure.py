"""Metrics under corruptions: what is compared, and the means over it."""

import pandas as pd
import pytest

from components.evaluate.robustness.corruptions import SUITES
from components.evaluate.robustness.measure import EVERYTHING, measure_robustness, summary
from components.evaluate.tables import ROBUSTNESS
from components.modalities.registry import MODALITIES
from components.tasks.classification.labels import ClassLabels
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.multilabel.labels import ClassSetLabels
from components.tasks.multilabel.metrics import MultilabelMetrics
from components.tasks.regression.labels import NumberLabels
from components.tasks.regression.metrics import RegressionMetrics

METRICS = {
    "answer": ClassificationMetrics(ClassLabels(["no", "yes"])),
    "size": RegressionMetrics(NumberLabels(mean=0.0, deviation=1.0)),
    "tags": MultilabelMetrics(ClassSetLabels(["cat", "dog"])),
}


def table(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    """Return predictions without a confidence."""
    columns = ["sample_id", "subset", "task", "target", "prediction"]
    return pd.DataFrame(rows, columns=columns).assign(confidence=float("nan"))


CLEAN = table(
    ("1", "image", "answer", "yes", "yes"),
    ("2", "image", "answer", "no", "no"),
    ("3", "text", "answer", "no", "yes"),
    ("4", "text", "answer", "no", "no"),
    ("1", "text", "answer", "yes", "yes"),
    ("1", "image-text", "answer", "yes", "yes"),
)


def measure(corrupted: pd.DataFrame, suite, clean: pd.DataFrame = CLEAN) -> pd.DataFrame:
    """Return the robustness of a model whose predictions become others under any corruption."""
    return measure_robustness(METRICS, clean, lambda modality, corrupt: corrupted, suite)


def values(found: pd.DataFrame) -> dict:
    rows = found.set_index(["task", "subset"])[["clean", "corrupted", "answered"]]
    return {key: tuple(row) for key, row in zip(rows.index, rows.to_numpy(), strict=True)}


def test_equal_predictions_lose_nothing():
    found = measure(CLEAN, SUITES["quick"])
    ROBUSTNESS.validate(found)
    assert (found["clean"] == found["corrupted"]).all()
    assert (found["answered"] == 1).all()
    assert set(found["group"]) == {*MODALITIES, "missing"}
    assert len(found.drop_duplicates(["corruption", "severity"])) == len(SUITES["quick"])


def test_subsets_with_the_corrupted_modality_are_compared():
    """And the subset of all modalities that each sample has."""
    found = measure(CLEAN, (("jpeg", 2),))
    assert values(found) == {
        ("answer", "image"): (1.0, 1.0, 1.0),
        ("answer", "image-text"): (1.0, 1.0, 1.0),
        ("answer", EVERYTHING): (0.75, 0.75, 1.0),
    }
    assert set(found["metric"]) == {"accuracy"}


def test_everything_has_one_prediction_per_sample():
    found = measure(CLEAN.assign(prediction="yes"), (("typos", 1),))
    assert values(found) == {
        ("answer", "text"): (2 / 3, 1 / 3, 1.0),
        ("answer", "image-text"): (1.0, 1.0, 1.0),
        ("answer", EVERYTHING): (0.75, 0.25, 1.0),
    }


def test_missing_predictions_are_counted_and_not_compared():
    """Sample 2 loses its only asset, sample 1 falls back on its text, which is then misread."""
    left = table(
        ("1", "text", "answer", "yes", "no"),
        ("3", "text", "answer", "no", "yes"),
        ("4", "text", "answer", "no", "no"),
    )
    found = measure(left, (("missing_image", 5),))
    assert values(found) == {("answer", EVERYTHING): (2 / 3, 1 / 3, 0.75)}
    assert set(found["group"]) == {"missing"}


def test_model_gets_each_asset_corrupted():
    calls = []

    def predict(modality, corrupt):
        calls.append((modality, corrupt("0" * 64, b"Why?")))
        return CLEAN

    measure_robustness(METRICS, CLEAN, predict, (("casing", 5), ("missing_text", 5)))
    assert calls == [("text", b"wHY?"), ("text", None)]


def test_primary_metric_of_every_kind():
    """Those too that are no fraction of right predictions."""
    clean = table(
        ("1", "image", "size", "2.0", "2.5"),
        ("2", "image", "size", "1.0", "1.0"),
        ("1", "image", "tags", '["cat"]', "[0.9, 0.8]"),
        ("2", "image", "tags", '["cat", "dog"]', "[0.9, 0.1]"),
    )
    worse = clean.assign(prediction=["3.0", "1.0", "[0.1, 0.1]", "[0.9, 0.1]"])
    found = measure(worse, (("jpeg", 1),), clean)
    assert values(found) == {
        ("size", "image"): (0.25, 0.5, 1.0),
        ("size", EVERYTHING): (0.25, 0.5, 1.0),
        ("tags", "image"): (pytest.approx(4 / 6), pytest.approx(2 / 4), 1.0),
        ("tags", EVERYTHING): (pytest.approx(4 / 6), pytest.approx(2 / 4), 1.0),
    }
    assert dict(zip(found["task"], found["metric"], strict=True)) == {
        "size": "mean_absolute_error",
        "tags": "f1",
    }
    for (task, subset), rows in worse.groupby(["task", "subset"]):
        expected = METRICS[task].compute(rows)[METRICS[task].primary().name]
        assert values(found)[task, subset][1] == pytest.approx(expected)


def test_no_corruption_gives_no_row():
    found = measure(CLEAN, ())
    assert found.empty and list(found.columns) == list(ROBUSTNESS.columns)
    assert summary(found) == {}


def measured(*rows: tuple[str, str, int, float, float]) -> pd.DataFrame:
    """Return a table as `ROBUSTNESS`."""
    found = pd.DataFrame(rows, columns=["group", "corruption", "severity", "clean", "corrupted"])
    return found.assign(task="answer", subset=EVERYTHING, metric="accuracy", answered=1.0)


def test_corruption_counts_once_with_any_number_of_severities():
    found = summary(
        measured(
            ("image", "jpeg", 1, 0.8, 0.8),
            ("image", "jpeg", 2, 0.8, 0.4),
            ("image", "contrast", 3, 0.8, 0.2),
            ("text", "typos", 1, 0.0, 0.0),
        )
    )
    expected = {"clean": 0.8, "corrupted": 0.4, "relative": 0.5}
    assert found["image"]["answer"][EVERYTHING] == pytest.approx(expected)
    assert found["text"]["answer"][EVERYTHING] == {"clean": 0.0, "corrupted": 0.0}
