"""Weights from how uncertain each task is."""

import torch
from torch import Tensor, nn

from components.training.weighting.weighting import RATE, STEEPEST, Losses, Weighting


class Uncertainty(Weighting):
    """Homoscedastic uncertainty (Kendall, Gal & Cipolla 2018, Multi-task learning using uncertainty
    to weigh losses).

    Each task has a noise σᵢ that is learnt beside the model, as sᵢ = log σᵢ². What is minimised is
    the negative log likelihood Σ pᵢ (cᵢ e^(−sᵢ) Lᵢ + sᵢ / 2): c = ½ for squared errors, a Gaussian
    of variance σ² (equation 5), and c = 1 for cross-entropies, a softmax of temperature σ²
    (equation 10). So wᵢ = cᵢ e^(−sᵢ). The prior multiplies the whole likelihood: on Lᵢ alone it
    would be undone by sᵢ.
    """

    def __init__(self, tasks, kinds, options):
        """See `Weighting`."""
        super().__init__(tasks, kinds, options)
        factors = torch.tensor([0.5 if kinds[task].SQUARED else 1.0 for task in tasks])
        self.register_buffer("factors", factors)
        self.register_buffer("log_variances", torch.zeros(len(factors)))
        self.weights.copy_(factors)
        self._seen: list[tuple[Tensor, Tensor]] = []  # places and losses, a part of the batch each

    def forward(self, losses: Losses, shared: nn.Parameter) -> Tensor:
        """See `Weighting`."""
        if losses:
            values = torch.stack(list(losses.values())).detach()
            self._seen.append((self.places(losses), values))
        return super().forward(losses, shared)

    def update(self) -> None:
        """See `Weighting`; each s descends its own likelihood, whatever its prior."""
        if not self._seen:
            return
        places, losses = self._seen[0][0], self.mean([losses for _, losses in self._seen])
        self._seen = []
        slopes = 0.5 - self.weights[places] * losses  # ∂/∂s (c e^(−s) L + s / 2)
        self.log_variances[places] -= RATE * slopes.clamp(-STEEPEST, STEEPEST)
        self.weights.copy_(self.factors * torch.exp(-self.log_variances))
