"""No fusion before the decision: each modality decides by itself."""

import torch
from torch import nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather
from components.fusion.settings import LateSettings


class LateFusion(Fusion):
    """P(answer) = 1/M Σ P(answer | x_m), the sum rule: equation 11 of Kittler et al. 1998.

    Each modality of a sample is a sequence of one token; the predictions of heads for them are
    averaged over the modalities present, as each task kind does it. It is the reference for other
    fusions: where it does as well, modalities need no fusion.
    """

    def __init__(self, size: FusionSize, options: LateSettings):
        super().__init__(size, options)
        self.width = size.width
        width_in = size.width_in
        self.single = nn.ModuleDict({m: nn.Linear(width_in, size.width) for m in self.modalities})

    def forward(self, features, rows) -> FusionOutput:
        votes = torch.stack([rows[m] >= 0 for m in self.modalities], 1)  # [B, M]
        pooled = {m: features[m].pooled for m in self.given(features)}
        absent = next(iter(pooled.values())).new_zeros(len(votes), self.width)
        tokens = [
            gather(self.single[m](pooled[m]), rows[m]) if m in pooled else absent
            for m in self.modalities
        ]
        voices = torch.stack(tokens, 1)[votes][:, None]  # [V, 1, D]
        return FusionOutput(voices, voices.new_ones(voices.shape[:2], dtype=torch.bool), votes)
