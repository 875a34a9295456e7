"""The baseline of each task kind: constants, models, predictions that metrics read."""

import numpy as np
import pandas as pd
import pytest

from components.tasks.baseline import Baseline
from components.tasks.labels import Labels
from components.tasks.linear_svm import one_vs_rest
from components.tasks.registry import KINDS, baseline_of, labels_of, metrics_of
from tests.support.tiny_model import EVERY_VOCABULARY

FEATURES = np.array([[1.0, 0], [0.9, 0.1], [0, 1.0], [0.1, 0.9]])
ONES = np.ones(4)


def labels(kind: str, task: str) -> Labels:
    return labels_of(kind)(**EVERY_VOCABULARY[task])


def make(kind: str, known: Labels) -> Baseline:
    """Return the baseline of a kind that has one."""
    found = baseline_of(kind)
    assert found is not None
    return found(known)


def value(kind: str, known: Labels, given: list, scores: np.ndarray) -> float:
    """Return the primary metric of scores."""
    metrics, predictions = metrics_of(kind)(known), make(kind, known).predictions(scores)
    table = {"target": list(map(known.to_text, given)), "prediction": predictions}
    return metrics.compute(pd.DataFrame(table))[metrics.primary().name]


@pytest.mark.parametrize(
    ("kind", "task", "given", "constant", "fitted"),
    [
        ("classification", "answer", ["a", "a", "b", "b"], 0.5, 1.0),
        ("multilabel", "tags", [("cat", "emu"), ("cat", "emu"), ("emu",), ("emu",)], 0.8, 1.0),
        ("regression", "size", [9.0, 9.0, 13.0, 13.0], 2.0, 0.1),
    ],
)
def test_model_fits_what_the_constant_cannot(kind, task, given, constant, fitted):
    known = labels(kind, task)
    baseline = make(kind, known)
    scores = np.tile(baseline.constant(given, ONES), (4, 1))
    assert value(kind, known, given, scores) == pytest.approx(constant)
    model = baseline.fit(FEATURES, given, ONES, 1000.0)
    assert value(kind, known, given, model(FEATURES)) == pytest.approx(fitted, abs=0.2)


def test_weights_decide_the_constant():
    baseline = make("classification", labels("classification", "answer"))
    assert baseline.constant(["a", "b"], np.array([1.0, 3.0])).argmax() == 1


def test_scores_of_modalities_add_up():
    """The surer one decides."""
    baseline = make("classification", labels("classification", "answer"))
    image, text = np.array([[0.2, 0.1, -1.0]]), np.array([[-1.0, 0.5, -1.0]])
    assert baseline.predictions(image) == ["a"]
    assert baseline.predictions(baseline.fuse([image, text])) == ["b"]


def test_numbers_of_modalities_are_averaged():
    baseline = make("regression", labels("regression", "size"))
    fused = baseline.fuse([np.array([[1.0]]), np.array([[-0.5]])])
    assert baseline.predictions(fused) == ["11.0"]


@pytest.mark.parametrize(("target", "margin"), [(True, 1.0), (False, -1.0)])
def test_class_without_examples_on_both_sides_is_a_constant(target, margin):
    targets = np.full((4, 1), target)
    assert one_vs_rest(FEATURES, targets, ONES, 1.0)(FEATURES).tolist() == [[margin]] * 4


@pytest.mark.parametrize("is_balanced", [False, True])
def test_balanced_machine_weighs_the_rare_class_as_much_as_the_rest(is_balanced):
    """Where all have the same features it is a tie, and otherwise the more frequent class wins."""
    features, targets = np.ones((20, 1)), (np.arange(20) < 2)[:, None]
    margin = one_vs_rest(features, targets, np.ones(20), 100.0, is_balanced)(features)[0, 0]
    assert margin == pytest.approx(0.0, abs=0.1) if is_balanced else margin < -0.5


def test_kinds_of_text_have_no_baseline():
    assert [kind for kind in KINDS if baseline_of(kind) is None] == [
        "vqa",
        "generation",
        "retrieval",
    ]
