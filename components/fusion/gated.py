"""Gates that decide how much of each modality passes."""

import torch
from torch import nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather, stack
from components.fusion.settings import GatedSettings


class GatedFusion(Fusion):
    """h = Σ z_m ∘ tanh(W_m x_m): the gated multimodal unit, section 3.1 of Arevalo et al. 2017.

    The gates are z = softmax over the modalities present of Σ_n G_n x_n + g, one number per
    modality and dimension; n too runs over those present. For two modalities that is the paper's
    σ(G [x_1, x_2]), which has one gate for both.
    """

    def __init__(self, size: FusionSize, options: GatedSettings):
        super().__init__(size, options)
        count, width = len(self.modalities), size.width
        self.values = nn.ModuleDict({m: nn.Linear(size.width_in, width) for m in self.modalities})
        self.gates = nn.ModuleDict(
            {m: nn.Linear(size.width_in, count * width, bias=False) for m in self.modalities}
        )
        self.gate = nn.Parameter(torch.zeros(count, width))

    def forward(self, features, rows) -> FusionOutput:
        given = self.given(features)
        places = [self.modalities.index(m) for m in given]
        present = torch.stack([rows[m] >= 0 for m in given], 1)[..., None]  # [B, m, 1]
        pooled = {m: features[m].pooled for m in given}  # [N, E]
        values = [gather(torch.tanh(self.values[m](pooled[m])), rows[m]) for m in given]  # [B, D]
        scores = torch.stack([gather(self.gates[m](pooled[m]), rows[m]) for m in given], 1)
        scores = scores.masked_fill(~present, 0.0).sum(1)  # [B, M · D]
        scores = scores.unflatten(1, (len(self.modalities), -1)) + self.gate  # [B, M, D]
        gates = scores[:, places].masked_fill(~present, -torch.inf).softmax(1)  # [B, m, D]
        token = (gates * torch.stack(values, 1)).sum(1)  # [B, D]
        return stack([token], [present.any(1)[:, 0]])
