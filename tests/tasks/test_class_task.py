"""Weights of classes: a rare class counts as much as if it were as frequent as the others."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from components.data.assets import AssetTensors
from components.tasks.class_task import ClassTask, balanced_loss, sampled_classes, soft_targets
from components.tasks.classification.head import Classification
from components.tasks.classification.settings import ClassificationSettings
from components.tasks.multilabel.head import Multilabel
from components.tasks.multilabel.settings import MultilabelSettings
from components.tasks.regression.head import Regression
from components.tasks.regression.settings import RegressionSettings

NAMES = ["a", "b", "c"]
ONE = Classification(NAMES)
SEVERAL = Multilabel(NAMES)
LABELS = pd.Series(["a"] * 6 + ["b"] * 3 + ["c"])
SETS = pd.Series([("a",)] * 2 + [("a", "b")] * 2 + [()] * 4)
LOGITS = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
TASKS = {
    "classification": (ONE, ONE.targets(LABELS), ClassificationSettings),
    "multilabel": (SEVERAL, SEVERAL.targets(SETS), MultilabelSettings),
}
EVERY = pytest.mark.parametrize(("task", "targets", "settings"), TASKS.values(), ids=TASKS)


def repeated(values: Tensor, times: list[int]) -> Tensor:
    return values.repeat_interleave(torch.tensor(times), 0)


def test_weights_are_those_of_scikit_learn():
    weights = ONE.class_weights(ONE.targets(LABELS))
    expected = compute_class_weight("balanced", classes=np.array(NAMES), y=LABELS)
    assert weights.tolist() == pytest.approx(expected.tolist())
    assert weights[ONE.targets(LABELS)].mean().item() == pytest.approx(1.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_loss_is_that_of_equally_frequent_classes(smoothing):
    targets, times = ONE.targets(LABELS), [1] * 6 + [2] * 3 + [6]
    found = ONE.weighted_loss(LOGITS, targets, smoothing, weights=ONE.class_weights(targets))
    expected = ONE.loss(repeated(LOGITS, times), repeated(targets, times), smoothing)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_weighted_loss_of_sets_is_that_of_classes_as_often_present_as_absent():
    """Six samples are not of class b, two are; c is in no sample."""
    targets, logits = SEVERAL.targets(SETS), LOGITS[:8]
    weights = SEVERAL.class_weights(targets)
    assert weights.flatten().tolist() == pytest.approx([1.0, 8 / 12, 1.0, 1.0, 2.0, 1.0])
    times = [1, 1, 3, 3, 1, 1, 1, 1]
    alone = Multilabel(["b"])
    found = alone.weighted_loss(logits[:, 1:2], targets[:, 1:2], weights=weights[:, 1:2])
    expected = alone.loss(repeated(logits[:, 1:2], times), repeated(targets[:, 1:2], times))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@EVERY
def test_unknown_targets_count_nowhere(task: ClassTask, targets, settings):
    hidden = task.hide(targets, torch.arange(len(targets)) % 2 == 0)
    known = targets[1::2]
    assert task.class_weights(hidden).equal(task.class_weights(known))
    assert not task.members(hidden)[::2].any()
    weights, logits = task.class_weights(targets), LOGITS[: len(targets)]
    found = task.weighted_loss(logits, hidden, weights=weights)
    assert found.item() == task.weighted_loss(logits[1::2], known, weights=weights).item()


@EVERY
def test_batch_without_labels_has_loss_zero(task: ClassTask, targets, settings):
    logits = LOGITS[: len(targets)].clone().requires_grad_()
    unknown = task.hide(targets, torch.ones(len(targets), dtype=torch.bool))
    loss = task.weighted_loss(logits, unknown, weights=task.class_weights(targets))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and logits.grad.isfinite().all()


@EVERY
@pytest.mark.parametrize("balance", ["none", "weights", "sampling"])
def test_settings_decide_what_is_balanced(task: ClassTask, targets, settings, balance):
    of_task = task, settings(column="a", balance=balance), targets
    logits = LOGITS[: len(targets)]
    found, plain = balanced_loss(*of_task)(logits, targets), task.loss(logits, targets)
    assert found.equal(plain) == (balance != "weights")
    sampled = sampled_classes(*of_task)
    assert (sampled is not None) == (balance == "sampling")
    assert sampled is None or sampled.sum(0).tolist() == task.members(targets).sum(0).tolist()


VOTES = pd.DataFrame({"asset": list("yxxzz"), "votes": [4, 3, 1, 1, 1]})
SOFT = {
    "classification": (ONE, ["b", "a", "c", "b", "unseen"]),
    "multilabel": (SEVERAL, [("b",), ("a", "b"), ("c",), (), ("a", "b")]),
}


def soft(task: ClassTask, labels: list) -> tuple[ClassTask, Tensor]:
    """Return a task and its targets of x (3 to 1), y (one label), z (a tie) and w (none)."""
    assets = AssetTensors(tuple("xyzw"), {})
    return task.soft(), soft_targets(task, VOTES.assign(label=labels), assets)


def test_soft_targets_are_fractions_of_the_labels():
    """Of those that training knows."""
    _, one = soft(*SOFT["classification"])
    assert one[:3].tolist() == [[0.75, 0, 0.25], [0, 1, 0], [0, 1, 0]]
    _, several = soft(*SOFT["multilabel"])
    assert several[:3].tolist() == [[0.75, 0.75, 0.25], [0, 1, 0], [0.5, 0.5, 0]]
    assert one[3].isnan().all() and several[3].isnan().all()


@pytest.mark.parametrize("balance", ["none", "weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", SOFT)
def test_loss_of_a_soft_label_is_the_mean_of_the_losses_of_its_labels(kind, smoothing, balance):
    hard, labels = SOFT[kind]
    task, targets = soft(hard, labels)
    settings = TASKS[kind][2](column="a", balance=balance)
    loss = balanced_loss(task, settings, targets)
    weights = {"weights": task.class_weights(targets)} if balance == "weights" else {}
    plain = hard.weighted_loss if weights else hard.loss
    of_x = hard.targets(pd.Series([labels[1]] * 3 + [labels[2]]))
    found = loss(LOGITS[:1], targets[:1], smoothing)
    expected = plain(LOGITS[:1].expand(4, -1), of_x, smoothing, **weights)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    both = loss(LOGITS[[0, 1, 3]], targets[[0, 1, 3]], smoothing)
    of_y = plain(LOGITS[1:2], hard.targets(pd.Series([labels[0]])), smoothing, **weights)
    assert both.item() == pytest.approx((found + of_y).item() / 2, rel=1e-5)


def test_metric_of_soft_labels_asks_for_the_most_frequent():
    task, targets = soft(ONE, ["b", "a", "c", "b", "a"])
    votes = torch.eye(3)
    assert [task.validate(votes[[code]], targets[:1]) for code in range(3)] == [1, 0, 0]
    assert [task.validate(votes[[code]], targets[2:3]) for code in range(3)] == [1, 1, 0]  # a tie
    _, several = soft(*SOFT["multilabel"])
    assert SEVERAL.validate(torch.tensor([[1.0, 1.0, -1.0]]), several[:1]) == 1


def test_soft_labels_have_the_weights_of_their_classes():
    """a, b and c have 0.75, 2 and 0.25 of three samples; the mean weight is 1."""
    task, targets = soft(*SOFT["classification"])
    weights = task.class_weights(targets)
    assert weights.tolist() == pytest.approx([3 / (3 * n) for n in (0.75, 2, 0.25)])
    assert (targets[:3] @ weights).mean().item() == pytest.approx(1.0)
    assert task.members(targets).int().tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_numbers_have_no_classes():
    task, settings = Regression(0.0, 1.0), RegressionSettings(column="a")
    assert balanced_loss(task, settings, torch.zeros(3)) is task.loss
    assert sampled_classes(task, settings, torch.zeros(3)) is None
