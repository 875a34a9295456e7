"""Several processes train one model: as one process would, and to the same bits each time."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed as dist
from torch import multiprocessing, nn

from components.tasks.classification.head import Classification
from components.training import checkpoint, distributed
from components.training.loop import train
from components.training.run import Losses, MicroBatch, Validation
from tests.training.toy import ACCURACY, LOOPS, Killed, ToyRun

pytestmark = pytest.mark.slow  # processes import torch

PROCESSES = 2
INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()
TARGETS[::5] = -1  # unknown
NAMES = ["plain", "all"]  # of `LOOPS`


class Net(nn.Module):
    """A network with a weight that nothing uses; if `random`, with dropout and batch norm."""

    def __init__(self, random: bool):
        super().__init__()
        torch.manual_seed(0)
        between = [nn.BatchNorm1d(8), nn.Dropout(0.2)] if random else []
        self.layers = nn.Sequential(nn.Linear(6, 8), *between, nn.ReLU(), nn.Linear(8, 2))
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Run(ToyRun):
    """The run; it is killed before the optimizer step `kill_at`, counted from 1."""

    def __init__(self, path: Path, random: bool = True, kill_at: int | None = None, **loop):
        super().__init__(path, epochs=4, net=lambda: Net(random), **loop)
        self.steps, self.kill_before = 0, kill_at

    def batches(self) -> list:
        return list(torch.randperm(len(INPUTS)).split(16))

    def micro_batches(self, batch: torch.Tensor, count: int) -> list[MicroBatch]:
        kept = batch[torch.rand(len(batch)) < 0.9]  # drawn for the whole step
        parts = kept.tensor_split(count)
        known = torch.stack([(TARGETS[part] >= 0).sum() for part in parts])
        weights = count * known / known.sum()
        return [MicroBatch(part, {"main": w}) for part, w in zip(parts, weights, strict=True)]

    def losses(self, batch: torch.Tensor) -> Losses:
        return {"main": Classification.loss(self.net(INPUTS[batch]), TARGETS[batch])}

    def before_optimizer_step(self) -> None:
        self.steps += 1
        if self.steps == self.kill_before:
            raise Killed

    def validate(self) -> Validation:
        assert distributed.is_main_process()  # the others take what it finds
        right = self.net(INPUTS).argmax(1) == TARGETS
        return {ACCURACY: {"main": float(right[TARGETS >= 0].float().mean())}}


def trained(path: Path, **options) -> dict[str, torch.Tensor]:
    """Return weights after training, every number of the logs and the steps, as tensors."""
    run = Run(path, **options)
    logs = train(run)
    tables = {"history": logs.history, "log": logs.steps}
    numbers = {name: torch.tensor(table["value"]) for name, table in tables.items()}
    return {**run.net.state_dict(), **numbers, "steps": torch.tensor(run.steps)}


def work(rank: int, folder: Path) -> None:
    """Train in every way and write the results, as one of the processes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    checkpoint.MIN_INTERVAL = -1e9

    def keep(name: str, result: dict) -> None:
        save_file({k: v.contiguous() for k, v in result.items()}, folder / f"{name}.{rank}")

    with distributed.per_rank_generator(torch.device("cpu"), "key"):
        own = torch.rand(3)
    keep("draws", {"own": own, "common": torch.rand(3)})
    keep("exact", trained(folder / "exact", random=False))
    keep("main", {"called": torch.tensor(distributed.from_main_process(distributed.rank))})
    for name in NAMES:
        for time in ("once", "again"):
            path = folder / f"{name} {time} checkpoint"
            keep(f"{name} {time}", trained(path, **LOOPS[name]))
        try:
            trained(folder / f"{name} killed", kill_at=5, **LOOPS[name])
        except Killed:
            distributed.barrier()
        torch.manual_seed(99)
        keep(f"{name} resumed", trained(folder / f"{name} killed", **LOOPS[name]))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return what a run left, by its name and the process."""
    folder = tmp_path_factory.mktemp("distributed")
    # Not `fork`: other tests have left threads in this process.
    multiprocessing.start_processes(work, (folder,), PROCESSES, start_method="forkserver")
    return lambda name, rank=0: load_file(folder / f"{name}.{rank}")


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not value.equal(other[name])] == []


def test_parallel_equals_serial(results, tmp_path):
    """But for rounding; the mean is over the samples that know their target."""
    one, two = trained(tmp_path / "c", random=False), results("exact")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, msg=name, atol=2e-5, rtol=2e-5)
    assert two["unused.weight"].equal(one["unused.weight"])  # neither trained nor decayed


@pytest.mark.parametrize("name", NAMES)
def test_all_processes_have_the_same_bits_every_time(results, name):
    once = results(f"{name} once")
    assert_same(once, results(f"{name} once", 1))
    assert_same(once, results(f"{name} again"))


@pytest.mark.parametrize("name", NAMES)
def test_resumed_equals_uninterrupted(results, name):
    whole, resumed = results(f"{name} once"), results(f"{name} resumed")
    assert int(resumed.pop("steps")) == int(whole.pop("steps")) - 4
    assert_same(whole, resumed)


def test_generators_differ_per_rank_only_inside(results):
    one, other = results("draws"), results("draws", 1)
    assert not one["own"].equal(other["own"])
    assert one["common"].equal(other["common"])


def test_all_have_the_result_of_the_main_process(results):
    assert results("main", 0)["called"] == results("main", 1)["called"] == 0


def test_single_process_changes_nothing():
    net, tensor = Net(random=True), torch.ones(2)
    distributed.all_reduce([tensor])
    distributed.GradientSync(net)({"main": tensor})
    assert distributed.from_main_process(lambda: "found") == "found"
    distributed.barrier()
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert distributed.is_main_process()
    assert tensor.tolist() == [1, 1] and net.unused.weight.grad is None
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with distributed.per_rank_generator(torch.device("cpu"), "key"):
        assert torch.rand(3).equal(expected)
