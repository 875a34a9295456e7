"""Gates that say how much of each modality passes."""

import torch
from torch import nn

from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick, stack
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class GatedFusion(nn.Module):
    """h = Σ z_m ∘ tanh(W_m x_m): the gated multimodal unit, section 3.1 of Arevalo et al. 2017.

    The gates z = softmax over the modalities present of Σ_n G_n x_n + g, a number a modality and
    dimension; n too runs over those present. With two modalities that is the paper's
    σ(G [x_1, x_2]), which has one gate for both.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        width = options.width
        self.values = nn.ModuleDict({m: nn.Linear(width_in, width) for m in MODALITIES})
        self.gates = nn.ModuleDict(
            {m: nn.Linear(width_in, len(MODALITIES) * width, bias=False) for m in MODALITIES}
        )
        self.gate = nn.Parameter(torch.zeros(len(MODALITIES), width))

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → one token."""
        here = [m for m in MODALITIES if m in features]
        present = torch.stack([rows[m] >= 0 for m in here], 1)[..., None]  # [B, M, 1]
        pooled = {m: features[m].pooled for m in here}  # [N, E]
        values = [pick(torch.tanh(self.values[m](pooled[m])), rows[m]) for m in here]  # [B, D]
        asked = [pick(self.gates[m](pooled[m]), rows[m]) for m in here]  # [B, 3 D]
        asked = torch.stack(asked, 1).masked_fill(~present, 0.0).sum(1)  # [B, 3 D]
        asked = asked.unflatten(1, (len(MODALITIES), -1)) + self.gate  # [B, 3, D]
        asked = asked[:, [MODALITIES.index(m) for m in here]]  # [B, M, D]
        gates = asked.masked_fill(~present, -torch.inf).softmax(1)
        token = (gates * torch.stack(values, 1)).sum(1)  # [B, D]
        return stack([token], [present.any(1)[:, 0]])
