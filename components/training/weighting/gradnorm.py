"""GradNorm: loss weights that balance the gradients of all tasks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from components.training import distributed
from components.training.weighting.settings import GradNormSettings
from components.training.weighting.weighting import Losses, Weighting

RATE = 0.025  # of the gradient descent on the weights
MAX_SLOPE = 1.0  # one odd batch must not undo what many have taught
MIN_WEIGHT = 1e-3  # a weight of 0 would give its task no gradient to learn from


class GradNorm(Weighting):
    """GradNorm (Chen et al. 2018, Gradient normalization for adaptive loss balancing in deep
    multitask networks, algorithm 1).

    With Gᵢ = ‖∇_W wᵢLᵢ‖₂ at the last shared layer's weights W, Ḡ their mean, and rᵢ = Lᵢ / Lᵢ(0)
    divided by its mean over the tasks, the weights descend Σ |Gᵢ − Ḡ rᵢ^α| (equation 2) with the
    target Ḡ rᵢ^α held constant, and are then rescaled to sum to the number of tasks.

    Norms fall by orders of magnitude during training, so slopes are in units of Ḡ. Means are over
    the tasks of the step, and only their weights are rescaled. The prior is applied afterwards.
    """

    initial: Tensor

    def __init__(self, priors: Mapping[str, float], options: GradNormSettings):
        super().__init__(priors, options)
        self.alpha = options.alpha
        self.register_buffer("initial", torch.full((len(self.tasks),), torch.nan))  # Lᵢ(0)
        self._places = torch.zeros(0)  # of the tasks of this step, int64 [n]
        self._losses: list[Tensor] = []  # by micro-batch, [n]
        self._gradients: list[Tensor] = []  # of each loss by W, by micro-batch, [n, …]

    def forward(self, losses: Losses, shared: nn.Parameter) -> Tensor:
        if losses:
            gradients = [
                torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)[0]
                for loss in losses.values()
            ]
            self._places = self.places(losses)
            self._losses.append(torch.stack(list(losses.values())).detach())
            self._gradients.append(torch.stack(gradients))
        return super().forward(losses, shared)

    def update(self) -> None:
        if not self._losses:
            return
        places, losses, gradients = self._places, _mean(self._losses), _mean(self._gradients)
        self._losses, self._gradients = [], []
        first = self.initial[places]
        first = torch.where(first.isnan(), losses, first)
        self.initial[places] = first
        before, norms = self.weights[places], gradients.flatten(1).norm(dim=1)
        slopes = self._slopes(before, norms, losses / first)
        after = (before - RATE * slopes).clamp(min=MIN_WEIGHT)
        self.weights[places] = after * (before.sum() / after.sum())

    def _slopes(self, weights: Tensor, norms: Tensor, progress: Tensor) -> Tensor:
        """∂/∂wᵢ Σ |wᵢ‖∇_W Lᵢ‖ − Ḡ rᵢ^α| in units of Ḡ, from wᵢ, ‖∇_W Lᵢ‖, Lᵢ / Lᵢ(0): [n] each."""
        mean = (weights * norms).mean()
        target = mean * (progress / progress.mean()) ** self.alpha
        slopes = torch.sign(weights * norms - target) * norms
        return (slopes / mean.clamp(min=torch.finfo(mean.dtype).tiny)).clamp(-MAX_SLOPE, MAX_SLOPE)


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Return the mean over all micro-batches, those of other processes included."""
    total = torch.stack(list(parts)).sum(0)
    distributed.all_reduce([total])
    return total / (len(parts) * distributed.world_size())
