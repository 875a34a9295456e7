"""Weightings and task samplers in real training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from components.common.metrics import Metric
from components.train.data import TrainingData
from components.train.joint_training import JointTraining, StepSamples, validation_metric
from components.training import checkpoint
from components.training.loop import Logs, train
from tests.support.tiny_model import TASKS
from tests.train.small_data import (
    Counted,
    Killed,
    make_data,
    make_data_of_every_task,
    train_settings,
)

WAYS = {
    "fixed": {},
    "gradnorm": {"weighting": "gradnorm"},
    "size": {"task_sampling": "size"},
    "lagging": {"task_sampling": "lagging"},
}
WEIGHTINGS = ["fixed", "gradnorm"]
EPOCHS = 2


def trained(
    way: str, path: Path, kill_at: int | None = None, **options
) -> tuple[JointTraining, Logs]:
    """Return a run after training, and its logs."""
    settings = train_settings(epochs=EPOCHS, batch_size=4, **WAYS[way], **options)
    run = Counted(make_data(settings, fresh=True), path, kill_at)
    return run, train(run)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, tuple[JointTraining, Logs]]:
    """Runs that were never killed, and their logs, by way."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return {way: trained(way, folder / way) for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
def test_resumed_equals_uninterrupted(way, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL", -1e9)
    monkeypatch.setattr(checkpoint, "COST_FACTOR", 0.0)
    whole, logs = uninterrupted[way]
    with pytest.raises(Killed):
        trained(way, tmp_path / "c", kill_at=whole.computed // 2 + 1)
    torch.manual_seed(99)  # what another process would have
    resumed, again = trained(way, tmp_path / "c")
    assert 0 < resumed.computed < whole.computed
    states = whole.module.state_dict(), resumed.module.state_dict()
    assert states[0].keys() == states[1].keys()
    assert [name for name in states[0] if not states[0][name].equal(states[1][name])] == []
    assert again.history.equals(logs.history)
    assert again.steps.equals(logs.steps)


@pytest.mark.parametrize("way", WAYS)
def test_step_values_are_logged(way, uninterrupted):
    run, logs = uninterrupted[way]
    series = set(logs.steps["series"])
    expected = {
        "fixed": {"loss"},
        "gradnorm": {"loss", "weight"},
        "size": {"loss", "probability"},
        "lagging": {"loss", "probability"},
    }
    assert series == expected[way]
    last = logs.steps[logs.steps["step"] == logs.steps["step"].max()].set_index("series")
    if "weight" in series:
        found = last.loc["weight"].set_index("task")["value"]
        assert found.tolist() == run.weighting.weights.tolist()
    losses_per_step = logs.steps[logs.steps["series"] == "loss"].groupby("step").size()
    assert (losses_per_step == 1).all() == (way in ("size", "lagging"))


def gradients(data: TrainingData, index: torch.Tensor, tasks=tuple(TASKS)):
    """Return the gradients of a step over some training samples, and its weighting."""
    run = JointTraining(data, 0, None)
    data.model.zero_grad()
    (whole,) = run.micro_batches(StepSamples(index, tasks), 1)
    run.total_loss(run.losses(whole.batch)).backward()
    run.before_optimizer_step()
    found = {n: p.grad for n, p in data.model.named_parameters() if p.grad is not None}
    return found, run.weighting


def weighted_data(way: str) -> TrainingData:
    return make_data(train_settings(modality_dropout=0.0, **WAYS[way]))


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_unlabelled_samples_change_nothing(way):
    data = weighted_data(way)
    count = len(data.samples["train"])
    unlabelled = torch.arange(count) % 3 == 0
    for targets in data.samples["train"].targets.values():
        targets[unlabelled] = -1
    found, one = gradients(data, torch.arange(count))
    expected, other = gradients(data, (~unlabelled).nonzero().squeeze(1))
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.weights, other.weights)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_task_without_labels_is_as_if_absent(way):
    data = weighted_data(way)
    index = torch.arange(len(data.samples["train"]))
    data.samples["train"].targets["shape"][:] = -1
    found, weighting = gradients(data, index)
    assert not [name for name in found if name.startswith("heads.shape")]
    assert weighting.weights[list(TASKS).index("shape")] == 1
    data = replace(data, tasks={n: task for n, task in TASKS.items() if n != "shape"})
    expected, _ = gradients(data, index, tuple(data.tasks))
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_batch_without_labels_has_no_gradient(way):
    data = make_data(train_settings(**WAYS[way]))
    for targets in data.samples["train"].targets.values():
        targets[:] = -1
    found, weighting = gradients(data, torch.arange(10))
    assert all((gradient == 0).all() for gradient in found.values())
    assert weighting.weights.tolist() == [1.0] * len(TASKS)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["gradnorm", "lagging"])
def test_tasks_of_every_kind_are_balanced(way, tmp_path):
    data = make_data_of_every_task(60, epochs=EPOCHS, **WAYS[way])
    logs = train(Counted(data, tmp_path / "c"))
    assert logs.steps["value"].notna().all() and logs.history["value"].notna().all()


@pytest.mark.parametrize("way", WAYS)
def test_accumulation_equals_whole_batch(way, tmp_path):
    """Gradients of micro-batches differ; their mean, and what follows from it, is the same."""
    (whole, logs), (parts, other) = (
        trained(way, tmp_path / str(count), modality_dropout=0.0, gradient_accumulation_steps=count)
        for count in (1, 3)
    )
    found, expected = parts.weighting.weights, whole.weighting.weights
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
    assert other.steps[["step", "series", "task"]].equals(logs.steps[["step", "series", "task"]])
    first = logs.steps["step"] == 0
    found, expected = other.steps["value"][first].tolist(), logs.steps["value"][first].tolist()
    assert found == pytest.approx(expected, rel=1e-3)


def sampled_data(count: int = 90) -> TrainingData:
    sampling = {"kind": "size", "temperature": 1.0}
    return make_data(train_settings(batch_size=4, task_sampling=sampling), count=count)


def test_step_of_one_task_has_decidable_labelled_samples():
    data = sampled_data()
    targets = data.samples["train"].targets
    targets["shape"][torch.arange(len(targets["shape"])) % 3 > 0] = -1
    torch.manual_seed(0)
    steps = JointTraining(data, 0, None).batches()
    every = JointTraining(replace(data, settings=train_settings(batch_size=4)), 0, None)
    assert len(steps) == len(every.batches())
    assert {step.tasks for step in steps} <= {(task,) for task in data.tasks}
    for step in steps:
        (task,) = step.tasks
        presence = data.samples["train"][step.index].presence
        assert (targets[task][step.index] != -1).all()
        assert data.model.config.answerable(task, presence).all()


def test_labelled_samples_come_once_before_any_comes_again():
    data = sampled_data()
    data.samples["train"].targets["shape"][:] = -1
    data.samples["train"].targets["question_type"][:] = -1
    torch.manual_seed(0)
    steps = JointTraining(data, 0, None).batches()
    assert {step.tasks for step in steps} == {("answer",)}  # the others have no label
    index = torch.cat([step.index for step in steps])
    assert index.sort().values.equal(torch.arange(len(data.samples["train"])))


def test_sampler_learns_progress_towards_goals_with_all_modalities():
    data = make_data_of_every_task(60, task_sampling="lagging")
    goals = {"answer": 0.8, "size": 0.5}
    tasks = {n: t.model_copy(update={"goal": goals.get(n)}) for n, t in data.tasks.items()}
    run = JointTraining(replace(data, tasks=tasks), 0, None)
    all_modalities = {"answer": 0.4, "tags": 0.25, "size": 0.75, "reply": 1.0}
    validation: dict[Metric, dict[str, float]] = {}
    for task, value in all_modalities.items():
        metric = data.model.tasks[task].VALIDATION
        validation[validation_metric(metric, "all")] = {task: value}
        validation[validation_metric(metric, "image-text")] = {task: 0.01}
    run.after_epoch(validation)
    expected = [0.5, 0.25, 0.5, 1.0]
    assert run.sampler.progress[:4].tolist() == pytest.approx(expected)
    assert run.sampler.progress[4].isnan()  # the caption was not validated
