"""No fusion before the decision: each modality decides by itself."""

import torch
from torch import nn

from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class LateFusion(nn.Module):
    """P(answer) = 1/M Σ P(answer | x_m), the sum rule: equation 11 of Kittler et al. 1998.

    A sequence a modality of a sample, of one token, in place of one a sample; what the heads say of
    them is averaged over the modalities present, as each kind of task does it. It is what the
    others are to be measured against: where it does as well, modalities need no fusion.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.width = options.width
        self.single = nn.ModuleDict({m: nn.Linear(width_in, options.width) for m in MODALITIES})

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → a token for each modality of a sample."""
        votes = torch.stack([rows[m] >= 0 for m in MODALITIES], 1)  # [B, M]
        absent = self.single["image"].weight.new_zeros(len(votes), self.width)
        tokens = [
            pick(self.single[m](features[m].pooled), rows[m]) if m in features else absent
            for m in MODALITIES
        ]
        voices = torch.stack(tokens, 1)[votes][:, None]  # [V, 1, D]
        return Fused(voices, voices.new_ones(voices.shape[:2], dtype=torch.bool), votes)
