"""Several processes train one model: as one would, and to the same bits each time."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed as dist
from torch import multiprocessing, nn

from components.tasks.classification.head import Classification
from components.training import checkpoint
from components.training import distributed as parallel
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import PLAIN, Recipe, Share
from components.training.settings import OptimiserSettings, StoppingSettings

PROCESSES, EPOCHS, STEPS = 2, 4, 3
INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()
TARGETS[::5] = -1  # unknown

OPTIONS = OptimiserSettings(epochs=EPOCHS, batch=16, learning_rate=0.05, weight_decay=0.1)
LOOPS = {
    "plain": {},
    "all": {
        "schedule": "one_cycle",
        "average": 0.8,
        "accumulate": 2,
        "clip": 0.5,
        "precision": "bfloat16",
        "early_stopping": StoppingSettings(metric="accuracy/main", patience=2),
    },
}


class Stopped(Exception):
    """As if the processes were killed."""


class Net(nn.Module):
    """`random`: with dropout and batch normalisation; and a weight that nothing uses."""

    def __init__(self, random: bool):
        super().__init__()
        torch.manual_seed(0)
        between = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if random else []
        self.layers = nn.Sequential(nn.Linear(6, 8), *between, nn.ReLU(), nn.Linear(8, 2))
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def share(rows: torch.Tensor, count: int) -> list[Share]:
    kept = rows[torch.rand(len(rows)) < 0.9]  # drawn for the whole step
    parts = kept.tensor_split(count)
    known = torch.stack([(TARGETS[part] >= 0).sum() for part in parts])
    weights = count * known / known.sum()
    return [Share(part, {"main": w}) for part, w in zip(parts, weights, strict=True)]


def train(path: Path, random: bool = True, stop_at: int | None = None, **loop) -> dict:
    """Weights after training and every number of the logs, as tensors."""
    net, steps = Net(random), 0

    def losses(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"main": Classification.loss(net(INPUTS[rows]), TARGETS[rows])}

    def measure() -> dict[str, dict[str, float]]:
        right = net(INPUTS).argmax(1) == TARGETS
        return {"accuracy": {"main": float(right[TARGETS >= 0].float().mean())}}

    def before_step() -> None:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise Stopped

    logs = fit(
        Recipe(
            module=net,
            batches=lambda: list(torch.randperm(len(INPUTS)).split(16)),
            losses=losses,
            measure=measure,
            options=OPTIONS,
            seed=0,
            checkpoint=Checkpoint(path, "a"),
            label="test",
            loop=PLAIN.model_copy(update=loop),
            share=share,
            before_step=before_step,
        )
    )
    tables = {"history": logs.history, "log": logs.steps}
    numbers = {name: torch.tensor(table["value"]) for name, table in tables.items()}
    return {**net.state_dict(), **numbers, "steps": torch.tensor(steps)}


def one_of_them(rank: int, folder: Path) -> None:
    """What each process does: train in every way, and leave what came out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    checkpoint.SECONDS_BETWEEN = -1e9

    def keep(name: str, result: dict) -> None:
        save_file({k: v.contiguous() for k, v in result.items()}, folder / f"{name}.{rank}")

    with parallel.own_chance(torch.device("cpu"), rank):
        own = torch.rand(3)
    keep("draws", {"own": own, "common": torch.rand(3)})
    keep("exact", train(folder / "exact", random=False))
    for name, loop in LOOPS.items():
        for time in ("once", "again"):
            path = folder / f"{name} {time} checkpoint"
            keep(f"{name} {time}", train(path, **loop))
        try:
            train(folder / f"{name} stopped", stop_at=5, **loop)
        except Stopped:
            parallel.meet()
        torch.manual_seed(99)
        keep(f"{name} resumed", train(folder / f"{name} stopped", **loop))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a run left, by its name and the process."""
    folder = tmp_path_factory.mktemp("parallel")
    multiprocessing.spawn(one_of_them, (folder,), PROCESSES)
    return lambda name, rank=0: load_file(folder / f"{name}.{rank}")


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(v.equal(other[name]) for name, v in one.items())


def test_two_processes_learn_what_one_does(results, tmp_path):
    """But for rounding; the mean is over the samples that know their target."""
    one, two = train(tmp_path / "c", random=False), results("exact")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, msg=name, atol=2e-5, rtol=2e-5)
    assert two["unused.weight"].equal(one["unused.weight"])  # neither trained nor decayed


@pytest.mark.parametrize("loop", LOOPS)
def test_all_processes_have_the_same_bits_and_have_them_again(results, loop):
    once = results(f"{loop} once")
    assert same(once, results(f"{loop} once", 1))
    assert same(once, results(f"{loop} again"))


@pytest.mark.parametrize("loop", LOOPS)
def test_processes_that_were_stopped_continue_to_the_same_bits(results, loop):
    whole, resumed = results(f"{loop} once"), results(f"{loop} resumed")
    assert int(resumed.pop("steps")) == int(whole.pop("steps")) - 4
    assert same(whole, resumed)


def test_processes_drop_other_places_and_draw_the_rest_alike(results):
    one, other = results("draws"), results("draws", 1)
    assert not one["own"].equal(other["own"])
    assert one["common"].equal(other["common"])


def test_alone_nothing_is_combined():
    net = Net(random=True)
    tensor = torch.ones(2)
    parallel.add_up([tensor])
    parallel.merge(net, {"main": tensor})
    parallel.meet()
    assert (parallel.count(), parallel.rank(), parallel.first()) == (1, 0, True)
    assert tensor.tolist() == [1, 1] and net.unused.weight.grad is None
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with parallel.own_chance(torch.device("cpu"), 7):
        assert torch.rand(3).equal(expected)
