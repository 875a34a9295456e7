"""Figures carry the meaning of their metrics."""

import pytest

from components.common.metrics import Figures, Metric, definitions

ACCURACY = Metric("accuracy", primary=True)
ERROR = Metric("mean_absolute_error", higher_is_better=False, unit="label", primary=True)
LOSS = Metric("loss", higher_is_better=False, unit="loss")
CONTENT = {
    "accuracy": {"answer": {"image": 0.5, "image-text": 0.75}},
    "loss": {"answer": {"image": 1.5}, "size": {"image": 2.5}},
    "slices": {"answer": {"accent": {"en": {"image": 0.25}}}},
    "definitions": definitions([ACCURACY, LOSS, ERROR]),
}


@pytest.fixture
def figures() -> Figures:
    return Figures(CONTENT)


def test_definitions_come_back(figures):
    assert figures.metrics == {
        "accuracy": ACCURACY,
        "loss": LOSS,
        "mean_absolute_error": ERROR,
    }


def test_each_metric_is_defined_once():
    assert definitions([ACCURACY, LOSS, ACCURACY]) == definitions([ACCURACY, LOSS])


def test_file_without_definitions_is_refused():
    with pytest.raises(KeyError, match="definitions"):
        Figures({"accuracy": {}})


def test_names_of_figures_leave_out_definitions(figures):
    assert figures.by_name() == {
        "accuracy/answer/image": 0.5,
        "accuracy/answer/image-text": 0.75,
        "loss/answer/image": 1.5,
        "loss/size/image": 2.5,
        "slices/answer/accent/en/image": 0.25,
    }


def test_figures_with_slashes_stay_apart():
    slices = {"answer": {"kind": {"a/b": {"image": 0.1}}, "kind/a": {"b": {"image": 0.2}}}}
    assert Figures({"slices": slices, "definitions": []}).by_name() == {
        "slices/answer/kind/a/b/image": 0.1,
        "slices/answer/kind:2f:a/b/image": 0.2,
    }


def test_tables_are_those_of_defined_metrics_with_figures(figures):
    assert dict(figures.tables()) == {name: CONTENT[name] for name in ("accuracy", "loss")}


@pytest.mark.parametrize(("task", "metric"), [("answer", ACCURACY), ("size", None), ("x", None)])
def test_primary_metric_is_that_of_task(figures, task, metric):
    """A task with figures of other metrics only, or with none, has no primary metric."""
    assert figures.primary(task) == metric


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("accuracy/answer/image", ACCURACY),
        ("loss/size/image", LOSS),
        ("slices/answer/accent/en/image", ACCURACY),
    ],
)
def test_metric_of_figure_is_found_by_name(figures, name, metric):
    assert figures.metric(name) == metric


@pytest.mark.parametrize("name", ["f1/answer/image", "slices/size/accent/en/image"])
def test_figure_of_unknown_metric_is_key_error(figures, name):
    with pytest.raises(KeyError):
        figures.metric(name)


@pytest.mark.parametrize(
    ("metric", "text"), [(ACCURACY, "12.35%"), (ERROR, "0.1235"), (LOSS, "0.1235")]
)
def test_only_fractions_are_per_cent(metric, text):
    assert metric.format(0.123456) == text


@pytest.mark.parametrize(("metric", "gain"), [(ACCURACY, 0.25), (LOSS, -0.25)])
def test_improvement_is_positive_where_better(metric, gain):
    assert metric.improvement(0.75, 0.5) == gain
