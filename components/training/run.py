"""What one training run does, for the loop to do it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from components.training.checkpoint import Checkpoint
from components.training.settings import LoopSettings, OptimiserSettings

Measured = dict[str, dict[str, float]]  # series → task → value

PLAIN = LoopSettings(
    schedule="cosine",
    average=0.0,
    accumulate=1,
    clip=None,
    precision="float32",
    early_stopping=None,
)


@dataclass(frozen=True)
class Share:
    """The part of a batch that is computed at once.

    Attributes:
        batch: what `Recipe.losses` takes.
        weights: of each loss, such that the mean over all shares of a batch is the batch's loss;
            of a batch in one share none, which means 1.
    """

    batch: Any
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """This share's losses, weighted."""
        if not self.weights:
            return losses
        return {task: loss * self.weights[task] for task, loss in losses.items()}


def whole(batch: Any, count: int) -> list[Share]:
    """A batch that is computed at once."""
    if count != 1:
        raise ValueError(f"{count} shares are asked of batches that cannot be shared out")
    return [Share(batch)]


def add(losses: dict[str, Tensor]) -> Tensor:
    """The sum of the losses of all tasks."""
    return torch.stack(list(losses.values())).sum()


@dataclass
class Recipe:
    """What one training run does.

    A step takes a batch and calls, in this order: `share` once; `losses` and `total` for each
    share, which is the whole batch as a rule; `before_step`, `note` once.

    Attributes:
        module: everything that has weights or buffers: what learns, and whatever else must be as
            it was when a run resumes.
        batches: gives the batches of an epoch; draws from torch's global generator. A run that
            resumes in mid-epoch calls it again, so it must not look at what steps change.
        losses: gives the losses of a share by task: means over what can know each task.
        measure: gives series → task → value after an epoch, with the module in evaluation mode.
        options: epochs, learning rate, weight decay.
        seed: all randomness of epoch e follows from (seed, e).
        checkpoint: where to resume from.
        label: the name of the run, in messages and among what its randomness follows from.
        loop: how steps are made, and when the run ends.
        share: shares a batch out in so many parts. What is drawn for the whole step (which
            modalities are dropped, which tasks are trained) is drawn here.
        rates: learning rates other than that of the options, by the part of the module.
        total: from the losses what is minimised. It is a weighted sum of the losses plus what
            does not depend on them (a · loss + b): then its mean over the shares is that of the
            whole batch, and so is its gradient.
        before_step: is called when the gradients of the whole batch are there, before they are
            used.
        after_epoch: is told what `measure` gave, in training mode, before the next epoch.
        note: gives series → task → value after a step, for the log of steps; tensors are read
            later, at once, so that no step waits for a device. The losses are in the log anyway,
            as series `loss`.
    """

    module: nn.Module
    batches: Callable[[], Iterable[Any]]
    losses: Callable[[Any], dict[str, Tensor]]
    measure: Callable[[], Measured]
    options: OptimiserSettings
    seed: int
    checkpoint: Checkpoint
    label: str
    loop: LoopSettings = PLAIN
    share: Callable[[Any, int], list[Share]] = whole
    rates: Mapping[nn.Module, float] = field(default_factory=dict)
    total: Callable[[dict[str, Tensor]], Tensor] = add
    before_step: Callable[[], None] = lambda: None
    after_epoch: Callable[[Measured], None] = lambda measured: None
    note: Callable[[], dict[str, dict[str, float | Tensor]]] = dict
