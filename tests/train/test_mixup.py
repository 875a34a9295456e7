"""Mixup of samples in joint training."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from components.data.batches import Samples
from components.layers.features import Features
from components.train import mixup
from components.train.data import TrainingData
from components.train.joint_training import JointTraining, StepSamples
from components.train.mixup import Blend, Mixing, blend_pairs, draw_mixing, draw_partners
from components.training import checkpoint
from components.training.loop import Logs, train
from components.training.run import Losses
from tests.support.tiny_model import PRESENT, TASKS
from tests.train.small_data import (
    Counted,
    Killed,
    joint_training,
    losses_of,
    make_data,
    make_data_of_every_task,
    train_settings,
)

INDEX = torch.arange(10)


@pytest.fixture
def share(monkeypatch):
    """Let every draw be a share."""

    def fix(value: float) -> None:
        drawn = SimpleNamespace(sample=lambda: torch.tensor(value, dtype=torch.float64))
        monkeypatch.setattr(mixup, "Beta", lambda *_: drawn)

    return fix


def mixing_data(**options) -> TrainingData:
    options = {"modality_dropout": 0.0, "mixup": 0.4} | options
    return make_data(train_settings(**options))


def test_partners_have_the_same_modalities():
    torch.manual_seed(0)
    presence = torch.rand(200, 3) < 0.5
    partners = draw_partners(presence)
    assert partners.sort().values.equal(torch.arange(200))
    assert presence[partners].equal(presence)
    assert (partners != torch.arange(200)).float().mean() > 0.8
    assert not draw_partners(presence).equal(partners)


def features(*lengths: int) -> Features:
    g = torch.Generator().manual_seed(len(lengths))
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    sizes = (4, 3), (3,), (2,)
    tokens, pooled, plain = (torch.randn(len(lengths), *size, generator=g) for size in sizes)
    return Features(tokens, mask, pooled, plain)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_features_are_blended_where_both_have_tokens(share):
    both = features(2, 3)
    one, other = both[:1], both[1:]
    found = Blend(both, torch.tensor([0]), torch.tensor([1]), share)
    assert found.mask.tolist() == [[True, True, True, False]]
    expected = share * one.tokens + (1 - share) * other.tokens
    torch.testing.assert_close(found.tokens[0, :2], expected[0, :2])
    assert found.tokens[0, 2].equal(other.tokens[0, 2])  # which it alone has
    for name in ("pooled", "plain"):
        alone, others = getattr(one, name), getattr(other, name)
        torch.testing.assert_close(getattr(found, name), share * alone + (1 - share) * others)
    if share == 1:
        assert found.tokens[:, :2].equal(one.tokens[:, :2]) and found.pooled.equal(one.pooled)


def test_samples_keep_their_modalities():
    """Rows of three samples, then of their partners; the second sample lacks sound."""
    rows = {"image": torch.tensor([0, 1, 1, 1, 1, 0]), "audio": torch.tensor([2, -1, 0, 0, -1, 2])}
    found = {"image": features(4, 2), "audio": features(1, 2, 3)}
    blended, places = blend_pairs(found, rows, Mixing(0.5, {"audio"}, set()))
    assert blended["image"] is found["image"] and places["image"].tolist() == [0, 1, 1]
    assert places["audio"].tolist() == [0, -1, 1]
    mean = (found["audio"].pooled[[2, 0]] + found["audio"].pooled[[0, 2]]) / 2
    torch.testing.assert_close(blended["audio"].pooled, mean)


def test_one_modality_takes_the_labels_that_it_alone_decides():
    config, found = mixing_data().model.config, {}
    settings = train_settings(mixup=0.4, mixup_modalities="one")
    torch.manual_seed(0)
    for drawn in (draw_mixing(config, settings) for _ in range(50)):
        assert 0.5 <= drawn.share <= 1
        (m,) = drawn.modalities
        found[m] = drawn.tasks
    assert found == {"image": {"shape"}, "text": set(), "audio": set()}
    drawn = draw_mixing(config, train_settings(mixup=0.4))
    assert (drawn.modalities, drawn.tasks) == (set(PRESENT), set(TASKS))


def blended_by_hand(run: JointTraining, mixing: Mixing, partners: Tensor) -> Losses:
    """Return the losses of samples one by one, each blended with its partner."""
    samples, sums = run.data.samples["train"], {name: [] for name in TASKS}
    for one, other in zip(INDEX, partners, strict=True):
        pair = samples[one[None]], samples[other[None]]
        logits = run.data.blended_logits(*pair, mixing)
        for name, task in run.data.model.tasks.items():
            decided = run.data.model.config.answerable(name, pair[0].presence)
            share = mixing.share if name in mixing.tasks else 1.0
            losses = [task.loss(logits[name], side.targets[name]) for side in pair]
            if decided.item():
                sums[name].append(share * losses[0] + (1 - share) * losses[1])
    return {name: torch.stack(found).mean() for name, found in sums.items()}


@pytest.mark.parametrize("modalities", ["all", "one"])
def test_loss_is_the_mean_of_both_labels(share, modalities):
    share(0.7)
    data = mixing_data(mixup_modalities=modalities)
    torch.manual_seed(3)
    found = losses_of(data, INDEX)
    torch.manual_seed(3)
    run = joint_training(data)
    (whole,) = run.micro_batches(StepSamples(INDEX, tuple(data.tasks)), 1)
    torch.manual_seed(3)
    torch.rand(len(INDEX), len(PRESENT))  # of dropped modalities
    mixing = draw_mixing(data.model.config, data.settings)
    assert mixing == whole.batch.mixing and mixing.share == 0.7
    partners = draw_partners(data.samples["train"][INDEX].presence)
    expected = blended_by_hand(run, mixing, partners)
    for name, loss in found.items():
        torch.testing.assert_close(loss, expected[name])


def test_share_of_one_is_the_plain_loss(share):
    """Bit for bit."""
    share(1.0)
    found = losses_of(mixing_data(), INDEX)
    assert found == losses_of(mixing_data(mixup=0.0), INDEX)
    share(0.9)
    assert all(losses_of(mixing_data(), INDEX)[name] != found[name] for name in found)


def test_without_mixup_nothing_is_drawn():
    run = joint_training(mixing_data(mixup=0.0))
    torch.manual_seed(0)
    (whole,) = run.micro_batches(StepSamples(INDEX, tuple(TASKS)), 1)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    torch.rand(len(INDEX), len(PRESENT))  # of dropped modalities
    assert isinstance(whole.batch, Samples) and state.equal(torch.get_rng_state())


@pytest.mark.parametrize("modalities", ["all", "one"])
def test_micro_batches_equal_the_whole_batch(modalities):
    data = make_data_of_every_task(60, modality_dropout=0.3, mixup=0.4, mixup_modalities=modalities)
    run, results, step = joint_training(data), [], StepSamples(torch.arange(20), tuple(data.tasks))
    data.model.eval()
    for count in (1, 3):
        torch.manual_seed(1)
        parts = run.micro_batches(step, count)
        losses = [part.weighted(run.losses(part.batch)) for part in parts]
        results.append({name: sum(each[name] for each in losses) / count for name in losses[0]})
    whole, split = results
    assert whole.keys() == split.keys()
    for name, loss in whole.items():
        torch.testing.assert_close(split[name], loss)


def trained(path: Path, kill_at: int | None = None, **options) -> tuple[Counted, Logs]:
    settings = train_settings(epochs=2, batch_size=4, mixup=0.4, **options)
    run = Counted(make_data(settings, fresh=True), path, kill_at)
    return run, train(run)


@pytest.mark.parametrize("modalities", ["all", "one"])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, modalities):
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL", -1e9)
    monkeypatch.setattr(checkpoint, "COST_FACTOR", 0.0)
    whole, logs = trained(tmp_path / "whole", mixup_modalities=modalities)
    with pytest.raises(Killed):
        half = whole.computed // 2 + 1
        trained(tmp_path / "c", kill_at=half, mixup_modalities=modalities)
    torch.manual_seed(99)  # what another process would have
    resumed, again = trained(tmp_path / "c", mixup_modalities=modalities)
    assert 0 < resumed.computed < whole.computed
    states = whole.module.state_dict(), resumed.module.state_dict()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    assert again.steps.equals(logs.steps) and again.history.equals(logs.history)
