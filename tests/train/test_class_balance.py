"""Rare classes in joint training: weights of the loss, and batches that draw classes evenly."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from components.tasks.classification.metrics import macro_f1
from components.train.data import TrainingData
from components.train.joint_training import JointTraining, StepSamples
from components.training import checkpoint
from components.training.checkpoint import Checkpoint
from components.training.loop import Logs, train
from tests.support.tiny_model import CLASSES
from tests.train.small_data import WIDE, Counted, Killed, make_data, train_settings

WAYS = ("none", "weights", "sampling")
RARE = {1: 20, 2: 4}  # class of `answer` → its training samples


def rare_answers(balance: str, count: int = 600, **options) -> TrainingData:
    """Return samples whose answers are mostly the first, balanced in a way."""
    data = make_data(train_settings(**options), count=count, fresh=True)
    answers = data.samples["train"].targets["answer"]
    answers[:] = 0
    answers[: RARE[1]], answers[-RARE[2] :] = 1, 2
    answer = data.tasks["answer"].model_copy(update={"balance": balance})
    return replace(data, tasks={**data.tasks, "answer": answer})


def counts(data: TrainingData, step: StepSamples) -> list[int]:
    """Return how many samples of each answer a step has."""
    answers = data.samples["train"].targets["answer"][step.index]
    return answers.bincount(minlength=len(CLASSES["answer"])).tolist()


def steps(balance: str, **options) -> tuple[TrainingData, list[StepSamples]]:
    data = rare_answers(balance, **options)
    torch.manual_seed(0)
    return data, JointTraining(data, 0, None).batches()


def test_batches_draw_classes_equally_often():
    data, found = steps("sampling", batch_size=4)
    for step in found:
        assert max(counts(data, step)) - min(counts(data, step)) <= 2
    _, plain = steps("none", batch_size=4)
    assert len(found) == len(plain)
    assert sum(len(step.index) for step in found) == len(data.samples["train"])
    assert {step.tasks for step in found} == {tuple(data.tasks)}


def test_samples_without_the_label_keep_their_part():
    data = rare_answers("sampling", batch_size=4)
    data.samples["train"].targets["answer"][RARE[1] : 120] = -1
    torch.manual_seed(0)
    drawn = torch.cat([step.index for step in JointTraining(data, 0, None).batches()])
    answers = data.samples["train"].targets["answer"][drawn]
    assert (answers == -1).sum() == 120 - RARE[1]
    assert sorted(answers[answers >= 0].bincount().tolist()) == [33, 33, 34]


def test_only_steps_of_the_task_are_balanced():
    """Where a step trains one task."""
    data, found = steps("sampling", batch_size=4, task_sampling="size")
    own = [counts(data, step) for step in found if step.tasks == ("answer",)]
    others = [counts(data, step) for step in found if step.tasks != ("answer",)]
    assert all(max(of_step) - min(of_step) <= 2 for of_step in own)
    first, *rare = map(sum, zip(*others, strict=True))
    assert first > 3 * sum(rare)


@pytest.mark.parametrize("way", WAYS[1:])
def test_resumed_equals_uninterrupted(way, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL", -1e9)
    monkeypatch.setattr(checkpoint, "COST_FACTOR", 0.0)

    def trained(name: str, kill_at: int | None = None) -> tuple[Counted, Logs]:
        run = Counted(rare_answers(way, 90, epochs=2, batch_size=4), tmp_path / name, kill_at)
        return run, train(run)

    whole, logs = trained("whole")
    with pytest.raises(Killed):
        trained("c", kill_at=whole.computed // 2 + 1)
    torch.manual_seed(99)  # what another process would have
    resumed, again = trained("c")
    assert 0 < resumed.computed < whole.computed
    states = whole.module.state_dict(), resumed.module.state_dict()
    assert [name for name in states[0] if not states[0][name].equal(states[1][name])] == []
    assert again.history.equals(logs.history) and again.steps.equals(logs.steps)


@pytest.mark.parametrize("way", WAYS)
def test_micro_batches_have_the_loss_of_the_batch(way):
    data = rare_answers(way, modality_dropout=0.0)
    run, step = JointTraining(data, 0, None), StepSamples(torch.arange(200), tuple(data.tasks))
    (whole,), parts = run.micro_batches(step, 1), run.micro_batches(step, 3)
    with torch.no_grad():
        expected = run.losses(whole.batch)["answer"].item()
        found = [part.weighted(run.losses(part.batch))["answer"].item() for part in parts]
    assert sum(found) / 3 == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def f1_by_way() -> dict[str, float]:
    """Macro F1 in validation of classes of which two are rare, by way.

    Training ends when a model that is not balanced still knows the most frequent one only.
    """
    return {way: validated_f1(way) for way in WAYS}


def validated_f1(way: str) -> float:
    options = {"epochs": 6, "learning_rate": 0.003, "batch_size": 4, "modality_dropout": 0.0}
    data = make_data(train_settings(**options), count=900, missing=0.0, fresh=True, **WIDE)
    pooled = data.assets["image"].tensors["pooled"]
    pooled += 6 * torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1))
    for samples in data.samples.values():  # two images of twenty have the rare answers
        image = samples.rows["image"]
        samples.targets["answer"][:] = torch.where(image < 2, image + 1, 0)
    answer = data.tasks["answer"].model_copy(update={"balance": way})
    data = replace(data, tasks={"answer": answer})
    train(JointTraining(data, 0, Checkpoint(Path("is not written"), "")))
    held_out = data.samples["validation"]
    with torch.no_grad():
        predicted = data.logits(held_out)["answer"].argmax(1)
    return macro_f1(*(pd.Series(x.tolist()) for x in (held_out.targets["answer"], predicted)))


@pytest.mark.parametrize("way", WAYS[1:])
def test_rare_classes_are_predicted(f1_by_way, way):
    assert f1_by_way["none"] < 0.4
    assert f1_by_way[way] > 0.65
