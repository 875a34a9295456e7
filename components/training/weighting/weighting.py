"""Contract of loss weightings."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from components.training.weighting.settings import WeightingSettings

Losses = Mapping[str, Tensor]  # mean loss by task, scalars; only tasks that the step trains


class Weighting(nn.Module):
    """Weights the losses of the tasks of a step into the scalar that is minimised.

    The weight of a task is multiplied by its prior, which the user sets (`tasks.*.weight`). Learnt
    weights are buffers and change in `update` only, by plain gradient descent with a fixed rate: no
    schedule, no weight decay, no moments, and no change for a task without a loss in the step.
    """

    is_learnt: ClassVar[bool] = True  # whether the weights change while training
    prior: Tensor  # float [tasks]
    weights: Tensor  # float [tasks], without the prior

    def __init__(self, priors: Mapping[str, float], options: WeightingSettings):
        super().__init__()
        self.tasks = tuple(priors)  # in the order of everything with one entry per task
        self.register_buffer("prior", torch.tensor(list(priors.values())))
        self.register_buffer("weights", torch.ones(len(self.tasks)))

    def forward(self, losses: Losses, shared: nn.Parameter) -> Tensor:
        """Return Σ pᵢ wᵢ Lᵢ, a scalar; `losses` of a micro-batch may be empty.

        `shared` are weights of the last layer that all tasks share.
        """
        if not losses:
            return 0.0 * shared.sum()
        places = self.places(losses)
        factors = self.prior[places] * self.weights[places]
        return (factors * torch.stack(list(losses.values()))).sum()

    def places(self, losses: Losses) -> Tensor:
        """Return which tasks the losses belong to, int64 [n]."""
        return torch.tensor([self.tasks.index(task) for task in losses], device=self.prior.device)

    def update(self) -> None:
        """Learn from the losses that `forward` got since the last call: those of one step."""
