"""The model beside the baselines: the strongest one, on the same samples."""

import pandas as pd
import pytest

from components.evaluate.baselines import (
    ABOVE,
    BASELINES_KEY,
    BesideBaseline,
    baseline_figures,
    beside_baselines,
)
from components.evaluate.significance import significance
from components.modalities.registry import MODALITIES
from components.tasks.baseline import BASELINES
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.regression.metrics import RegressionMetrics

METRICS = {"answer": ClassificationMetrics(None), "size": RegressionMetrics(None)}
TEST = [f"t{n}" for n in range(10)]
VALIDATION = [f"v{n}" for n in range(10)]
SAMPLES = pd.DataFrame({"sample_id": TEST + VALIDATION}).assign(
    **{f"{m}_id": [f"{m} {n}" for n in range(20)] for m in MODALITIES}
)


def scored(ids: list[str], total: float) -> pd.DataFrame:
    """Return what samples add to a metric whose sum is `total`: 1 each, then a rest, then 0."""
    added = [min(1.0, max(0.0, total - n)) for n in range(len(ids))]
    return pd.DataFrame({"sample_id": ids, "numerator": added, "denominator": 1.0})


def baseline(name: str, test: float, validation: float, task: str = "answer") -> pd.DataFrame:
    """Return a baseline with so much of 10 on both splits."""
    parts = [
        scored(TEST, test).assign(split="test"),
        scored(VALIDATION, validation).assign(split="validation"),
    ]
    return pd.concat(parts).assign(task=task, baseline=name)[list(BASELINES.columns)]


def model(subset: str, total: float, task: str = "answer", ids=TEST) -> pd.DataFrame:
    return scored(ids, total).assign(task=task, subset=subset)


def compare(contributed: pd.DataFrame, *baselines: pd.DataFrame) -> list[BesideBaseline]:
    return beside_baselines(contributed, pd.concat(baselines), SAMPLES, METRICS)


def test_strongest_is_chosen_on_the_validation_split():
    """Although another is better on the test split."""
    (found,) = compare(
        model("image-text", 9),
        baseline("majority", 3, 3),
        baseline("image", 8, 5),
        baseline("image-text", 6, 7),
    )
    assert (found.baseline, found.values) == ("image-text", (0.9, 0.6))
    assert found.above == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("subset", "name"),
    [("text", "majority"), ("image", "image"), ("image-text-audio", "image-text")],
)
def test_baseline_sees_no_more_than_the_model(subset, name):
    found = compare(
        model(subset, 9),
        baseline("majority", 3, 3),
        baseline("image", 8, 5),
        baseline("image-text", 6, 7),
    )
    assert [row.baseline for row in found] == [name]


def test_without_validation_labels_it_is_that_which_sees_most():
    rows = [baseline("majority", 3, 3), baseline("image", 8, 5), baseline("image-text", 6, 4)]
    table = pd.concat(rows)
    (found,) = compare(model("image-text", 9), table[table["split"] == "test"])
    assert found.baseline == "image-text"


def test_both_are_measured_on_the_same_samples():
    """On those that baselines predict."""
    rows = baseline("majority", 4, 4)
    (found,) = compare(model("image", 6), rows[~rows["sample_id"].isin(TEST[:5])])
    assert (found.values, len(found.sample_ids)) == ((0.2, 0.0), 5)


def test_lower_error_is_better():
    rows = [baseline("mean", 5, 5, "size"), baseline("image", 4, 3, "size")]
    (found,) = compare(model("image", 2, "size"), *rows)
    assert found.baseline == "image" and found.above == pytest.approx(0.2)


def test_figures_have_every_baseline():
    rows = [baseline("majority", 3, 3), baseline("image", 5, 5)]
    contributed = pd.concat([model("image", 4), model("text", 4)])
    found = baseline_figures(pd.concat(rows), compare(contributed, *rows), "test")
    assert found[BASELINES_KEY] == {"answer": {"majority": 0.3, "image": 0.5}}
    assert found[ABOVE.name]["answer"] == pytest.approx({"image": -0.1, "text": 0.1})


def test_no_baselines_give_no_figures():
    nothing = baseline("majority", 3, 3)[:0]
    assert compare(model("image", 4), nothing) == []
    assert baseline_figures(nothing, [], "test") == {}
    assert significance([], SAMPLES, "image", 0) == []


def test_tests_are_paired_by_cluster_and_adjusted():
    """Eight gains of one image are one."""
    rows = baseline("majority", 0, 0)
    contributed = pd.concat([model("image", 8), model("text", 0)])
    found = compare(contributed, rows)
    assert significance(found, SAMPLES, "image", 0) == [2 * 0.5**8, 1.0]
    one = SAMPLES.assign(image_id="the same")
    assert significance(found, one, "image", 0) == [1.0, 1.0]


def test_numbers_are_tested_too():
    rows = [baseline("mean", 9, 9, "size")]
    (p,) = significance(compare(model("image", 1, "size"), *rows), SAMPLES, "image", 0)
    assert p < 0.01
