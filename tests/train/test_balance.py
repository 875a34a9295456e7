"""Weightings, choices of tasks and modulation in real training."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from components.train.balance import Balance, Step
from components.train.data import Course
from components.train.objective import losses, measure
from components.training import checkpoint
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import Recipe
from tests.model.worlds import TASKS
from tests.shrunk import small_settings
from tests.train.test_train import every_course, make_course

WAYS = {
    "fixed": {},
    "uncertainty": {"train.weighting": "uncertainty"},
    "gradnorm": {"train.weighting": "gradnorm"},
    "size": {"train.tasks": "size"},
    "lagging": {"train.tasks": "lagging", "train.weighting": "uncertainty"},
    "ogm-ge": {"train.modulation": "ogm-ge"},
}
WEIGHTINGS = ["fixed", "uncertainty", "gradnorm"]
EPOCHS = 3


def make(course: Course, way: str) -> Balance:
    return Balance(course, small_settings(WAYS[way]).train)


class Stopped(Exception):
    """As if the run were killed."""


def train(course: Course, way: str, path, stop: int | None = None):
    """The balance and the logs after a run that is stopped before step `stop`."""
    balance = make(course, way)
    done = 0

    def counted(samples):
        nonlocal done
        if done == stop:
            raise Stopped
        done += 1
        return losses(course, samples)

    options = small_settings({"train.epochs": EPOCHS, **WAYS[way]}).train
    recipe = Recipe(
        module=balance.module,
        batches=balance.steps,
        share=balance.share,
        losses=counted,
        measure=partial(measure, course),
        options=options,
        loop=options,
        seed=0,
        checkpoint=Checkpoint(path, "a"),
        label="train",
        total=balance.total,
        before_step=balance.before_step,
        after_epoch=balance.after_epoch,
        note=balance.note,
    )
    return balance, fit(recipe)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_stopped_in_mid_epoch_ends_in_the_same_bits(way, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1e9)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)
    whole, logs = train(make_course(fresh=True), way, tmp_path / "whole")
    steps = logs.steps["step"].max() + 1
    with pytest.raises(Stopped):
        train(make_course(fresh=True), way, tmp_path / "c", stop=steps // 2 + 1)
    torch.manual_seed(99)  # what another process would have
    resumed, again = train(make_course(fresh=True), way, tmp_path / "c")
    states = whole.module.state_dict(), resumed.module.state_dict()
    assert states[0].keys() == states[1].keys()
    assert [name for name in states[0] if not states[0][name].equal(states[1][name])] == []
    assert again.history.equals(logs.history)
    assert again.steps.equals(logs.steps)


@pytest.mark.parametrize("way", WAYS)
def test_choices_weights_and_losses_are_logged_by_step(way, tmp_path):
    balance, logs = train(make_course(fresh=True), way, tmp_path / "c")
    series = set(logs.steps["series"])
    expected = {
        "fixed": {"loss"},
        "uncertainty": {"loss", "weight"},
        "gradnorm": {"loss", "weight"},
        "size": {"loss", "chance"},
        "lagging": {"loss", "weight", "chance"},
        "ogm-ge": {"loss", "discrepancy", "gradient"},
    }
    assert series == expected[way]
    last = logs.steps[logs.steps["step"] == logs.steps["step"].max()].set_index("series")
    if "weight" in series:
        found = last.loc["weight"].set_index("task")["value"]
        assert found.tolist() == balance.weighting.weights.tolist()
    losses_a_step = logs.steps[logs.steps["series"] == "loss"].groupby("step").size()
    assert (losses_a_step == 1).all() == (way in ("size", "lagging"))


def gradients(course: Course, index: torch.Tensor, way: str, tasks=tuple(TASKS)):
    """The gradients of a step over some training samples, and the balance that has learnt of it."""
    balance = make(course, way)
    course.model.zero_grad()
    (whole,) = balance.share(Step(index, tasks), 1)
    balance.total(losses(course, whole.batch)).backward()
    balance.before_step()
    return {n: p.grad for n, p in course.model.named_parameters() if p.grad is not None}, balance


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_samples_without_a_label_change_neither_gradients_nor_weights(way):
    course = make_course(dropout=0.0)
    count = len(course.samples["train"])
    unlabelled = torch.arange(count) % 3 == 0
    for targets in course.samples["train"].targets.values():
        targets[unlabelled] = -1
    found, one = gradients(course, torch.arange(count), way)
    expected, other = gradients(course, (~unlabelled).nonzero().squeeze(1), way)
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.weighting.weights, other.weighting.weights)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_a_batch_without_any_label_of_a_task_moves_nothing_of_it(way):
    course = make_course(dropout=0.0)
    index = torch.arange(len(course.samples["train"]))
    course.samples["train"].targets["shape"][:] = -1
    found, balance = gradients(course, index, way)
    assert not [name for name in found if name.startswith("heads.shape")]
    assert balance.weighting.weights[list(TASKS).index("shape")] == 1
    course = replace(course, tasks={n: task for n, task in TASKS.items() if n != "shape"})
    expected, _ = gradients(course, index, way, tuple(course.tasks))
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_a_batch_without_any_label_is_survived(way):
    course = make_course()
    for targets in course.samples["train"].targets.values():
        targets[:] = -1
    found, balance = gradients(course, torch.arange(10), way)
    assert all((gradient == 0).all() for gradient in found.values())
    assert balance.weighting.weights.tolist() == [1.0] * len(TASKS)


@pytest.mark.parametrize("way", ["uncertainty", "gradnorm", "lagging", "ogm-ge"])
def test_tasks_of_every_kind_are_balanced(way, tmp_path):
    _, logs = train(every_course(60), way, tmp_path / "c")
    assert logs.steps["value"].notna().all() and logs.history["value"].notna().all()


def test_the_last_shared_layer_is_what_every_head_reads_through():
    for fusion in ("concat", "bilinear"):
        course = make_course(fusion=fusion, dropout=0.0)
        (whole,) = make(course, "fixed").share(Step(torch.arange(20), tuple(TASKS)), 1)
        for loss in losses(course, whole.batch).values():
            (gradient,) = torch.autograd.grad(loss, course.model.last_shared, retain_graph=True)
            assert gradient.norm() > 0


@pytest.mark.parametrize("way", WAYS)
def test_batches_in_parts_are_balanced_as_whole_ones(way, tmp_path, monkeypatch):
    """Each part has a gradient of its own; their mean, and what follows from it, is the same."""
    runs = []
    for parts in (1, 3):
        monkeypatch.setitem(WAYS, way, WAYS[way] | {"train.accumulate": parts})
        course = make_course(fresh=True, dropout=0.0)
        runs.append(train(course, way, tmp_path / str(parts)))
    (whole, logs), (added, other) = runs
    found, expected = added.weighting.weights, whole.weighting.weights
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
    assert other.steps[["step", "series", "task"]].equals(logs.steps[["step", "series", "task"]])
    first = logs.steps["step"] == 0
    found, expected = other.steps["value"][first].tolist(), logs.steps["value"][first].tolist()
    assert found == pytest.approx(expected, rel=1e-3)
