"""The training loop: reproducible and resumable to the last bit."""

import argparse
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.config.command import Stage, View
from components.training import checkpoint as module
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import PLAIN, Recipe, Share, whole
from components.training.settings import OptimiserSettings, StoppingSettings
from tests.shrunk import small_settings

EPOCHS, STEPS = 5, 3  # steps an epoch
STOPPING = StoppingSettings(metric="accuracy/main", patience=2)
INPUTS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()


class Stopped(Exception):
    """As if the run were killed."""


@pytest.fixture(autouse=True)
def a_checkpoint_each_epoch(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN", -1e9)


def net() -> nn.Sequential:
    """With dropout and batch normalisation: randomness and state besides the weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
    )


def train(path, seed=0, origin="a", stop_at=None, count=EPOCHS, net=net, loop=None, **hooks):
    """Weights and logs of a run, and its steps; it is stopped in step `stop_at`, counted from 1."""
    net_ = net()
    loop = PLAIN.model_copy(update=loop or {})
    calls = 0

    def batches():
        return list(torch.randperm(len(INPUTS)).split(8))

    def share(rows, count):
        parts = rows.tensor_split(count)
        weights = [{"main": torch.tensor(count * len(part) / len(rows))} for part in parts]
        return [Share(*pair) for pair in zip(parts, weights, strict=True)]

    def losses(rows):
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise Stopped
        return {"main": F.cross_entropy(net_(INPUTS[rows]), TARGETS[rows])}

    def measure():
        assert not net_.training
        return {"accuracy": {"main": float((net_(INPUTS).argmax(1) == TARGETS).float().mean())}}

    options = OptimiserSettings(epochs=count, batch=8, learning_rate=0.05, weight_decay=0.1)
    checkpoint = Checkpoint(path, origin)
    recipe = Recipe(net_, batches, losses, measure, options, seed, checkpoint, "test", loop, share)
    logs = fit(replace(recipe, **hooks))
    return net_.state_dict(), logs, calls


def same(one, other) -> bool:
    weights = all(value.equal(other[0][name]) for name, value in one[0].items())
    logs = one[1].history.equals(other[1].history) and one[1].steps.equals(other[1].steps)
    return weights and logs


def test_it_learns_and_its_history_says_so(tmp_path):
    _, logs, _ = train(tmp_path / "c")
    series = {name: rows for name, rows in logs.history.groupby("series")}
    assert len(series["loss"]) == EPOCHS
    assert series["loss"]["value"].iloc[-1] < series["loss"]["value"].iloc[0]
    assert series["accuracy"]["epoch"].tolist() == list(range(EPOCHS))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    one, again, other = (train(tmp_path / str(n), seed) for n, seed in enumerate((0, 0, 1)))
    assert same(one, again)
    assert not same(one, other)


LOOPS = {
    "plain": {},
    "one cycle": {"schedule": "one_cycle"},
    "average": {"average": 0.8},
    "accumulate": {"accumulate": 2},
    "clip": {"clip": 0.1},
    "bfloat16": {"precision": "bfloat16"},
    "early stopping": {"early_stopping": STOPPING},
    "all": {
        "schedule": "one_cycle",
        "average": 0.8,
        "accumulate": 2,
        "clip": 0.5,
        "precision": "bfloat16",
        "early_stopping": STOPPING,
    },
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_run_that_was_stopped_continues_to_the_same_bits(tmp_path, loop, place):
    """Within an epoch, between two, and within a step that is computed in parts."""
    whole = train(tmp_path / "whole", loop=loop)
    calls = whole[2]
    parts = loop.get("accumulate", 1)
    stop = max(parts + 1, round(place * calls))
    with pytest.raises(Stopped):
        train(tmp_path / "c", loop=loop, stop_at=stop)
    torch.manual_seed(99)  # what another process would have
    resumed = train(tmp_path / "c", loop=loop)
    assert resumed[2] == calls - (stop - 1) // parts * parts  # only what was left
    assert same(resumed, whole)


@pytest.mark.parametrize("loop", [name for name in LOOPS if name != "plain"])
def test_each_choice_changes_the_result(tmp_path, loop):
    plain, other = train(tmp_path / "a"), train(tmp_path / "b", loop=LOOPS[loop])
    assert not same(plain, other)


def test_a_run_can_be_stopped_again_and_again(tmp_path):
    whole = train(tmp_path / "whole")
    for _ in range(EPOCHS * STEPS - 1):
        with pytest.raises(Stopped):
            train(tmp_path / "c", stop_at=2)
    resumed = train(tmp_path / "c")
    assert resumed[2] == 1
    assert same(resumed, whole)


def test_how_often_it_saves_changes_no_bit(tmp_path, monkeypatch):
    often = train(tmp_path / "often")
    monkeypatch.setattr(module, "SECONDS_BETWEEN", 1e9)
    assert same(train(tmp_path / "never"), often)
    assert not (tmp_path / "never").exists()


def test_a_checkpoint_of_another_origin_is_ignored(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "c", origin="other", stop_at=7)
    resumed = train(tmp_path / "c", origin="a")
    assert resumed[2] == STEPS * EPOCHS
    assert same(resumed, whole)


def test_a_checkpoint_of_a_complete_run_trains_no_more_and_can_be_cleared(tmp_path):
    whole = train(tmp_path / "c")
    again = train(tmp_path / "c")
    assert again[2] == 0
    assert same(again, whole)
    Checkpoint(tmp_path / "c", "a").clear()
    Checkpoint(tmp_path / "c", "a").clear()  # a second time is fine
    assert list(tmp_path.iterdir()) == []


def test_frozen_weights_stay_and_the_rest_resumes(tmp_path):
    """The optimiser numbers its weights; a frozen one must not shift the numbers."""
    runs = []
    for stop in (None, 2, None):
        torch.manual_seed(0)
        net_ = nn.ModuleDict({"frozen": nn.Linear(6, 8), "free": nn.Linear(8, 2)})
        net_["frozen"].requires_grad_(False)
        before = net_["frozen"].weight.clone()
        calls = []

        def losses(rows, net_=net_, calls=calls, stop=stop):
            calls.append(1)
            if stop is not None and len(calls) == 3 * stop + 1:
                raise Stopped
            return {
                "main": F.cross_entropy(net_["free"](net_["frozen"](INPUTS[rows])), TARGETS[rows])
            }

        options = OptimiserSettings(epochs=4, batch=8, learning_rate=0.05, weight_decay=0.1)
        path = tmp_path / ("whole" if not runs else "c")
        batches = partial(torch.arange(24).split, 8)
        recipe = Recipe(net_, batches, losses, dict, options, 0, Checkpoint(path, "a"), "test")
        if stop is None:
            runs.append((net_.state_dict(), fit(recipe)))
        else:
            with pytest.raises(Stopped):
                fit(recipe)
        assert net_["frozen"].weight.equal(before)
    assert same(*runs)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path):
    """Without batch normalisation and dropout, which see the parts."""
    plain = partial(train, net=lambda: net()[::2])
    whole, parts = plain(tmp_path / "a"), plain(tmp_path / "b", loop={"accumulate": 3})
    assert parts[2] == 3 * whole[2]
    for name, value in whole[0].items():
        torch.testing.assert_close(parts[0][name], value, atol=1e-5, rtol=1e-4)
    losses = [run[1].steps["value"].tolist() for run in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_the_average_is_what_is_measured_and_kept(tmp_path):
    net_, after = net(), []
    start = {name: value.clone() for name, value in net_.state_dict().items()}

    def note():
        after.append({name: value.clone() for name, value in net_.state_dict().items()})
        return {}

    kept, logs, _ = train(tmp_path / "c", net=lambda: net_, loop={"average": 0.8}, note=note)
    for name in (name for name, value in kept.items() if value.is_floating_point()):
        expected = start[name]
        for weights in after:
            expected = 0.8 * expected + 0.2 * weights[name]
        torch.testing.assert_close(kept[name], expected, msg=name)
        assert not kept[name].equal(after[-1][name])
    right = (net_(INPUTS).argmax(1) == TARGETS).float().mean()
    assert logs.history["value"].iloc[-1] == float(right)


def test_a_gradient_is_clipped_to_its_norm(tmp_path):
    net_, norms = net(), []

    def note():
        norms.append(float(nn.utils.get_total_norm([p.grad for p in net_.parameters()])))
        return {}

    train(tmp_path / "a", net=lambda: net_, note=note)
    assert max(norms) > 0.1
    norms.clear()
    net_ = net()
    train(tmp_path / "b", net=lambda: net_, note=note, loop={"clip": 0.1})
    assert max(norms) <= 0.1 + 1e-6


def test_the_best_epoch_s_weights_are_kept(tmp_path):
    net_, seen, scores = net(), [], [0.1, 0.4, 0.3, 0.2, 0.9]

    def measure():
        seen.append({name: value.clone() for name, value in net_.state_dict().items()})
        return {"accuracy": {"main": scores[max(0, len(seen) - 2)]}}  # once before it starts

    loop = {"early_stopping": STOPPING}
    kept, logs, _ = train(tmp_path / "c", net=lambda: net_, loop=loop, measure=measure)
    assert logs.history["epoch"].max() == 3  # the last epoch is never reached
    assert all(value.equal(seen[2][name]) for name, value in kept.items())


def test_a_metric_that_is_not_measured_stops_it_before_any_step(tmp_path):
    calls = []
    stopping = StoppingSettings(metric="acuracy/main", patience=2)
    loop = {"early_stopping": stopping}
    with pytest.raises(InputError, match="Did you mean 'accuracy/main'?"):
        train(tmp_path / "c", loop=loop, before_step=lambda: calls.append(1))
    assert calls == []


def test_hooks_are_called_in_their_order_and_what_is_noted_is_logged(tmp_path):
    said = []
    _, logs, _ = train(
        tmp_path / "c",
        count=1,
        before_step=lambda: said.append("before"),
        note=lambda: said.append("note") or {"weight": {"main": len(said)}},
        after_epoch=lambda measured: said.append(list(measured)),
    )
    assert said == ["before", "note"] * STEPS + [["accuracy"]]
    weights = logs.steps[logs.steps["series"] == "weight"]
    assert weights["step"].tolist() == [0, 1, 2] and weights["value"].tolist() == [2, 4, 6]
    losses = logs.steps[logs.steps["series"] == "loss"]["value"]
    assert logs.history["value"].iloc[0] == pytest.approx(losses.mean(), rel=1e-6)


def test_a_batch_that_cannot_be_shared_out_says_so():
    with pytest.raises(ValueError, match="2 shares are asked of batches that cannot"):
        whole([1, 2], 2)


def test_the_origin_follows_inputs_and_settings_and_not_where_they_lie(tmp_path):
    stage = Stage("", {"data-in": ""}, {"checkpoint": ""}, ("seed", "align"))

    def origin(name: str, content: str, **changes) -> str:
        path = tmp_path / name
        path.write_text(content)
        arguments = argparse.Namespace(data_in=path, checkpoint=tmp_path / "c")
        view = View(small_settings(changes), stage.params)
        return Checkpoint.of(arguments, view, stage).origin

    first = origin("a", "x")
    assert origin("b", "x") == first
    assert origin("a", "x", **{"train.epochs": 9}) == first  # not one of the stage's settings
    assert origin("a", "y") != first
    assert origin("a", "x", **{"align.epochs": 9}) != first
