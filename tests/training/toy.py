"""A small training run: a network that learns the sign of a number."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from components.common.metrics import Metric
from components.training.checkpoint import Checkpoint
from components.training.loop import Logs, train
from components.training.run import Losses, MicroBatch, TrainingRun, Validation
from components.training.settings import EarlyStoppingSettings, LoopSettings, OptimizerSettings

EPOCHS, STEPS = 5, 3  # steps per epoch
ACCURACY = Metric("accuracy")
STOPPING = EarlyStoppingSettings(metric="accuracy/main", patience=2)
INPUTS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()

LOOPS = {
    "plain": {},
    "one cycle": {"schedule": "one_cycle"},
    "ema": {"ema_decay": 0.8},
    "accumulation": {"accumulation_steps": 2},
    "clipping": {"max_grad_norm": 0.1},
    "bfloat16": {"precision": "bfloat16"},
    "early stopping": {"early_stopping": STOPPING},
    "all": {
        "schedule": "one_cycle",
        "ema_decay": 0.8,
        "accumulation_steps": 2,
        "max_grad_norm": 0.5,
        "precision": "bfloat16",
        "early_stopping": STOPPING,
    },
}


class Killed(Exception):
    """As if the process were killed."""


def make_net() -> nn.Sequential:
    """Return a network with dropout and batch normalisation: state besides the weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
    )


class ToyRun(TrainingRun):
    """The run; it is killed in micro-batch `kill_at`, counted from 1.

    Attributes:
        computed: micro-batches so far.
    """

    def __init__(
        self,
        path: Path,
        seed: int = 0,
        fingerprint: str = "a",
        epochs: int = EPOCHS,
        kill_at: int | None = None,
        net: Callable[[], nn.Module] = make_net,
        accumulation_steps: int = 1,
        **loop,
    ):
        optimizer = OptimizerSettings(
            epochs=epochs, batch_size=8, learning_rate=0.05, weight_decay=0.1
        )
        super().__init__(optimizer, seed, Checkpoint(path, fingerprint))
        self.net, self.options = net(), LoopSettings(**loop)
        self.kill_at, self.computed = kill_at, 0
        self.parts = accumulation_steps

    @property
    def label(self) -> str:
        return "test"

    @property
    def module(self) -> nn.Module:
        return self.net

    @property
    def loop(self) -> LoopSettings:
        return self.options

    @property
    def accumulation_steps(self) -> int:
        return self.parts

    def batches(self) -> list:
        return list(torch.randperm(len(INPUTS)).split(8))

    def micro_batches(self, batch: torch.Tensor, count: int) -> list[MicroBatch]:
        parts = batch.tensor_split(count)
        weights = [{"main": torch.tensor(count * len(part) / len(batch))} for part in parts]
        return [MicroBatch(*pair) for pair in zip(parts, weights, strict=True)]

    def losses(self, batch: torch.Tensor) -> Losses:
        self.computed += 1
        if self.computed == self.kill_at:
            raise Killed
        return {"main": F.cross_entropy(self.net(INPUTS[batch]), TARGETS[batch])}

    def validate(self) -> Validation:
        assert not self.net.training
        return {ACCURACY: {"main": self.accuracy()}}

    def accuracy(self) -> float:
        """Return the fraction of the inputs that are classified correctly."""
        return float((self.net(INPUTS).argmax(1) == TARGETS).float().mean())


def trained(run: TrainingRun) -> tuple[TrainingRun, Logs]:
    """Train a run to its end."""
    return run, train(run)


def assert_same(one: tuple[TrainingRun, Logs], other: tuple[TrainingRun, Logs]) -> None:
    """Assert that two runs have equal weights and logs, bit for bit."""
    assert different_tensors(one, other) == []
    assert one[1].history.equals(other[1].history)
    assert one[1].steps.equals(other[1].steps)


def different_tensors(one: tuple[TrainingRun, Logs], other: tuple[TrainingRun, Logs]) -> list[str]:
    """Return the names of weights and buffers in which two runs differ."""
    states = one[0].module.state_dict(), other[0].module.state_dict()
    assert states[0].keys() == states[1].keys()
    return [name for name, value in states[0].items() if not value.equal(states[1][name])]
