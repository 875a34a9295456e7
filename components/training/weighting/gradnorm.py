"""Weights that keep the gradients of all tasks in step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.training.weighting.weighting import RATE, STEEPEST, Losses, Weighting

LEAST = 1e-3  # of a weight: one at zero would give its task no gradient to learn by


@dataclass(frozen=True)
class Seen:
    """What a part of a batch showed of n tasks.

    Attributes:
        places: int64 [n], which tasks.
        losses: float [n].
        gradients: float [n, …], of each loss by the shared weights.
    """

    places: Tensor
    losses: Tensor
    gradients: Tensor


class GradNorm(Weighting):
    """GradNorm (Chen et al. 2018, Gradient normalization for adaptive loss balancing in deep
    multitask networks, algorithm 1).

    With Gᵢ = ‖∇_W wᵢLᵢ‖₂ at the last shared layer's weights W, Ḡ their mean, and rᵢ = Lᵢ / Lᵢ(0)
    over the mean of the same, the weights descend Σ |Gᵢ − Ḡ rᵢ^α| (equation 2), the target Ḡ rᵢ^α
    taken as a constant; then they are rescaled to sum to the number of tasks. A larger α pulls
    harder at tasks that learn slowly.

    Norms fall by orders of magnitude while a model learns, so slopes are measured in Ḡ. Means are
    over the tasks that the step has, and only their weights are rescaled. The prior comes after: it
    tilts what GradNorm has balanced.
    """

    def __init__(self, tasks, kinds, options):
        """See `Weighting`."""
        super().__init__(tasks, kinds, options)
        self.alpha = options.gradnorm_alpha
        self.register_buffer("initial", torch.full((len(self.tasks),), torch.nan))  # Lᵢ(0)
        self._seen: list[Seen] = []

    def forward(self, losses: Losses, shared: nn.Parameter) -> Tensor:
        """See `Weighting`."""
        if losses:
            gradients = [
                torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)[0]
                for loss in losses.values()
            ]
            values = torch.stack(list(losses.values())).detach()
            self._seen.append(Seen(self.places(losses), values, torch.stack(gradients)))
        return super().forward(losses, shared)

    def update(self) -> None:
        """See `Weighting`."""
        if not self._seen:
            return
        places = self._seen[0].places
        losses = self.mean([part.losses for part in self._seen])  # [n]
        gradients = self.mean([part.gradients for part in self._seen])  # [n, …]
        self._seen = []
        first = self.initial[places]
        first = torch.where(first.isnan(), losses, first)
        self.initial[places] = first
        before, norms = self.weights[places], gradients.flatten(1).norm(dim=1)
        slopes = self._slopes(before, norms, losses / first)
        after = (before - RATE * slopes).clamp(min=LEAST)
        self.weights[places] = after * (before.sum() / after.sum())

    def _slopes(self, weights: Tensor, norms: Tensor, progress: Tensor) -> Tensor:
        """∂/∂wᵢ Σ |wᵢ‖∇_W Lᵢ‖ − Ḡ rᵢ^α| in units of Ḡ: float [n].

        Args:
            weights: wᵢ, [n].
            norms: ‖∇_W Lᵢ‖, [n].
            progress: Lᵢ / Lᵢ(0), [n].
        """
        mean = (weights * norms).mean()
        target = mean * (progress / progress.mean()) ** self.alpha
        slopes = torch.sign(weights * norms - target) * norms
        return (slopes / mean.clamp(min=torch.finfo(mean.dtype).tiny)).clamp(-STEEPEST, STEEPEST)
