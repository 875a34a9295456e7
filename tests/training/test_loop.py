"""The training loop: reproducible and resumable to the last bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.training import checkpoint
from components.training.loop import skip
from components.training.run import Losses, StepValues, TrainingRun, Validation
from components.training.settings import EarlyStoppingSettings
from tests.training.toy import (
    ACCURACY,
    EPOCHS,
    INPUTS,
    LOOPS,
    STEPS,
    STOPPING,
    TARGETS,
    Killed,
    ToyRun,
    assert_same,
    different_tensors,
    make_net,
    trained,
)

pytestmark = pytest.mark.usefixtures("save_every_step")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Runs that were never killed, by the name of their loop."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return {name: trained(ToyRun(folder / name, **loop)) for name, loop in LOOPS.items()}


def test_loss_falls_and_history_has_every_epoch(uninterrupted):
    _, logs = uninterrupted["plain"]
    series = {name: rows for name, rows in logs.history.groupby("series")}
    assert len(series["loss"]) == EPOCHS
    assert series["loss"]["value"].iloc[-1] < series["loss"]["value"].iloc[0]
    assert series["accuracy"]["epoch"].tolist() == list(range(EPOCHS))


def test_seed_decides_every_bit(uninterrupted, tmp_path):
    again, other = (trained(ToyRun(tmp_path / str(seed), seed)) for seed in (0, 1))
    assert_same(again, uninterrupted["plain"])
    assert different_tensors(other, again)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("place", [0.1, 0.55, 0.7])
def test_resumed_equals_uninterrupted(uninterrupted, tmp_path, name, place):
    """Killed within an epoch, between two, and between micro-batches of a step."""
    loop, whole = LOOPS[name], uninterrupted[name]
    parts = loop.get("accumulation_steps", 1)
    kill_at = max(parts + 1, round(place * whole[0].computed))
    with pytest.raises(Killed):
        trained(ToyRun(tmp_path / "c", kill_at=kill_at, **loop))
    torch.manual_seed(99)  # what another process would have
    resumed = trained(ToyRun(tmp_path / "c", **loop))
    done = (kill_at - 1) // parts * parts
    assert resumed[0].computed == whole[0].computed - done  # only what was left
    assert_same(resumed, whole)


@pytest.mark.parametrize("name", [name for name in LOOPS if name != "plain"])
def test_each_option_changes_the_result(uninterrupted, name):
    assert different_tensors(uninterrupted["plain"], uninterrupted[name])


def test_run_can_be_killed_at_every_step(uninterrupted, tmp_path):
    for _ in range(EPOCHS * STEPS - 1):
        with pytest.raises(Killed):
            trained(ToyRun(tmp_path / "c", kill_at=2))
    resumed = trained(ToyRun(tmp_path / "c"))
    assert resumed[0].computed == 1
    assert_same(resumed, uninterrupted["plain"])


def test_checkpoint_interval_changes_no_bit(tmp_path, monkeypatch):
    often = trained(ToyRun(tmp_path / "often"))
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL", 1e9)
    assert_same(trained(ToyRun(tmp_path / "never")), often)
    assert (tmp_path / "often").exists() and not (tmp_path / "never").exists()


def test_checkpoint_of_another_run_is_ignored(uninterrupted, tmp_path):
    with pytest.raises(Killed):
        trained(ToyRun(tmp_path / "c", fingerprint="other", kill_at=7))
    fresh = trained(ToyRun(tmp_path / "c"))
    assert fresh[0].computed == STEPS * EPOCHS
    assert_same(fresh, uninterrupted["plain"])


def test_checkpoint_of_complete_run_trains_nothing(uninterrupted, tmp_path):
    trained(ToyRun(tmp_path / "c"))
    again = trained(ToyRun(tmp_path / "c"))
    assert again[0].computed == 0
    assert_same(again, uninterrupted["plain"])


class PartlyFrozen(ToyRun):
    """Its first layer is frozen."""

    def __init__(self, path: Path, kill_at: int | None = None):
        super().__init__(path, kill_at=kill_at, net=self._make)

    @staticmethod
    def _make() -> nn.Module:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2))
        net[0].requires_grad_(False)
        return net


def test_frozen_weights_stay_and_the_rest_resumes(tmp_path):
    """The optimizer numbers its weights; a frozen one must not shift the numbers."""
    before = PartlyFrozen(tmp_path / "unused").net.state_dict()
    whole = trained(PartlyFrozen(tmp_path / "whole"))
    with pytest.raises(Killed):
        trained(PartlyFrozen(tmp_path / "c", kill_at=7))
    resumed = trained(PartlyFrozen(tmp_path / "c"))
    assert_same(resumed, whole)
    changed = {name for name, w in whole[0].net.state_dict().items() if not w.equal(before[name])}
    assert changed == {"1.weight", "1.bias"}


def test_accumulation_equals_whole_batch(tmp_path):
    """Without batch normalisation and dropout, which see micro-batches."""
    plain = partial(ToyRun, net=lambda: make_net()[::2])
    whole = trained(plain(tmp_path / "a"))
    parts = trained(plain(tmp_path / "b", accumulation_steps=3))
    assert parts[0].computed == 3 * whole[0].computed
    for name, value in whole[0].net.state_dict().items():
        torch.testing.assert_close(parts[0].net.state_dict()[name], value, atol=1e-5, rtol=1e-4)
    losses = [logs.steps["value"].tolist() for _, logs in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


class Watched(ToyRun):
    """Calls a function after every step."""

    def __init__(self, path: Path, after_step: Callable[[nn.Module], None], **options):
        super().__init__(path, **options)
        self.after_step = after_step

    def step_values(self) -> StepValues:
        self.after_step(self.net)
        return {}


def test_moving_average_is_validated_and_kept(tmp_path):
    seen = [{name: value.clone() for name, value in make_net().state_dict().items()}]

    def note(net: nn.Module) -> None:
        seen.append({name: value.clone() for name, value in net.state_dict().items()})

    run, logs = trained(Watched(tmp_path / "c", note, ema_decay=0.8))
    kept = run.net.state_dict()
    for name in (name for name, value in kept.items() if value.is_floating_point()):
        expected = seen[0][name]
        for weights in seen[1:]:
            expected = 0.8 * expected + 0.2 * weights[name]
        torch.testing.assert_close(kept[name], expected, msg=name)
        assert not kept[name].equal(seen[-1][name])
    assert logs.history["value"].iloc[-1] == run.accuracy()


def test_gradients_are_clipped(tmp_path):
    norms: list[float] = []

    def note(net: nn.Module) -> None:
        norms.append(float(nn.utils.get_total_norm([p.grad for p in net.parameters()])))

    trained(Watched(tmp_path / "a", note))
    assert max(norms) > 0.1
    norms.clear()
    trained(Watched(tmp_path / "b", note, max_grad_norm=0.1))
    assert max(norms) <= 0.1 + 1e-6


class Scored(ToyRun):
    """Validation returns scores that are given; the first one is asked for before training."""

    def __init__(self, path: Path, scores: list[float], **options):
        super().__init__(path, **options)
        self.scores = iter([0.0, *scores])
        self.seen: list[dict] = []

    def validate(self) -> Validation:
        self.seen.append({name: value.clone() for name, value in self.net.state_dict().items()})
        return {ACCURACY: {"main": next(self.scores)}}


def test_best_epoch_is_kept(tmp_path):
    scores = [0.1, 0.4, 0.3, 0.2, 0.9]
    run, logs = trained(Scored(tmp_path / "c", scores, early_stopping=STOPPING))
    assert logs.history["epoch"].max() == 3  # the last epoch is never reached
    best = run.seen[2]
    assert all(value.equal(best[name]) for name, value in run.net.state_dict().items())


def test_unknown_metric_is_refused_before_any_step(tmp_path):
    stopping = EarlyStoppingSettings(metric="acuracy/main", patience=2)
    run = ToyRun(tmp_path / "c", early_stopping=stopping)
    with pytest.raises(InputError, match="Did you mean 'accuracy/main'?"):
        trained(run)
    assert run.computed == 0


class Hooked(ToyRun):
    """Notes the order of the hooks, and logs a value per step."""

    def __init__(self, path: Path):
        super().__init__(path, epochs=1)
        self.called: list = []

    def before_optimizer_step(self) -> None:
        self.called.append("before")

    def step_values(self) -> StepValues:
        self.called.append("values")
        return {"weight": {"main": len(self.called)}}

    def after_epoch(self, validation: Validation) -> None:
        assert self.net.training
        self.called.append(dict(validation))


def test_hooks_are_called_in_order_and_values_logged(tmp_path):
    run, logs = trained(Hooked(tmp_path / "c"))
    assert run.called == ["before", "values"] * STEPS + [{ACCURACY: {"main": run.accuracy()}}]
    weights = logs.steps[logs.steps["series"] == "weight"]
    assert weights["step"].tolist() == [0, 1, 2] and weights["value"].tolist() == [2, 4, 6]
    losses = logs.steps[logs.steps["series"] == "loss"]["value"]
    assert logs.history["value"].iloc[0] == pytest.approx(losses.mean(), rel=1e-6)


class Unsplittable(ToyRun):
    """It does not say how its batches are split."""

    micro_batches = TrainingRun.micro_batches

    def losses(self, batch: torch.Tensor) -> Losses:
        return {"main": F.cross_entropy(self.net(INPUTS[batch]), TARGETS[batch])}


def test_unsplittable_batch_is_refused(tmp_path):
    run = Unsplittable(tmp_path / "c", accumulation_steps=2)
    with pytest.raises(ValueError, match="batches of test cannot be split, found 2 micro-batches"):
        trained(run)


def test_skipped_run_has_an_empty_history(caplog):
    caplog.set_level("INFO")
    assert skip("align", "no pairs").empty
    assert caplog.messages == ["align: nothing is trained: no pairs"]
