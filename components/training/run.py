"""A training run, as the loop sees it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from components.common.metrics import Metric
from components.training.checkpoint import Checkpoint
from components.training.overfitting import Measurements
from components.training.settings import LoopSettings, OptimizerSettings

Losses = dict[str, Tensor]  # by task, scalars
Validation = Mapping[Metric, Mapping[str, float]]  # metric → task → value
StepValues = Mapping[str, Mapping[str, float | Tensor]]  # series → task → value


@dataclass(frozen=True)
class MicroBatch:
    """The part of a batch that is computed at once.

    Each loss has a weight such that the mean over all micro-batches is the loss of the batch. A
    batch that is not split has none, which means 1.
    """

    batch: Any  # what `TrainingRun.losses` takes
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def weighted(self, losses: Losses) -> Losses:
        """Return the losses of this micro-batch, weighted."""
        if not self.weights:
            return losses
        return {task: loss * self.weights[task] for task, loss in losses.items()}


def weighted_parts(parts: Sequence[Any], known: Mapping[str, Tensor]) -> list[MicroBatch]:
    """Return the parts of a batch as micro-batches.

    The loss of a task is a mean over the samples that know their target, so a part weighs as much
    as it has of them: by task `known`, int64 [parts].
    """
    weights = {n: k * len(parts) / k.sum().clamp(min=1) for n, k in known.items()}
    return [
        MicroBatch(part, {name: weight[number] for name, weight in weights.items()})
        for number, part in enumerate(parts)
    ]


@dataclass
class TrainingRun(ABC):
    """What is trained, on what, towards what.

    Each step takes a batch and calls `micro_batches` once; `losses` and `total_loss` per
    micro-batch; then `before_optimizer_step` and `step_values` once.
    """

    optimizer: OptimizerSettings
    seed: int  # all randomness of an epoch follows from it, the label and the epoch
    checkpoint: Checkpoint  # where to resume from

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of the run, in messages and in the derivation of randomness."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """Everything with weights or buffers that a resumed run must restore."""

    @property
    def loop(self) -> LoopSettings:
        """How steps are made and when training ends."""
        return LoopSettings()

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches per step and process, one after the other."""
        return 1

    @property
    def learning_rates(self) -> Mapping[nn.Module, float]:
        """Learning rates that differ from that of the optimizer settings, by part of the module."""
        return {}

    @abstractmethod
    def batches(self) -> Iterable[Any]:
        """Return the batches of an epoch, drawn from torch's global generator.

        A run that resumes within an epoch calls it again, so steps must not change its result.
        """

    def micro_batches(self, batch: Any, count: int) -> Sequence[MicroBatch]:
        """Split a batch into `count` micro-batches.

        Whatever is drawn for the whole step (dropped modalities, trained tasks) is drawn here.
        """
        if count != 1:
            raise ValueError(
                f"batches of {self.label} cannot be split, found {count} micro-batches"
            )
        return [MicroBatch(batch)]

    @abstractmethod
    def losses(self, batch: Any) -> Losses:
        """Return the losses of a micro-batch, each a mean over the samples that know the target."""

    def total_loss(self, losses: Losses) -> Tensor:
        """Return what is minimised, by default the sum of the losses.

        It is linear in the losses, so its mean over micro-batches is that of the whole batch.
        """
        return torch.stack(list(losses.values())).sum()

    def before_optimizer_step(self) -> None:
        """Called when the gradients of the whole batch are complete."""

    def step_values(self) -> StepValues:
        """Return values to log per step besides the losses."""
        return {}

    @abstractmethod
    def validate(self) -> Validation:
        """Return metrics after an epoch, with the module in evaluation mode."""

    def compare(self) -> tuple[Measurements, Measurements]:
        """Return metrics of some training samples and of validation samples, after training."""
        return {}, {}

    def after_epoch(self, validation: Validation) -> None:
        """Called in training mode with the metrics, before the next epoch."""
