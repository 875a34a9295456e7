"""Low-rank bilinear pooling of every pair of modalities."""

from itertools import combinations

import torch
from torch import nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather, stack
from components.fusion.settings import BilinearSettings


class BilinearFusion(Fusion):
    """Pᵀ(tanh(Uᵀx) ∘ tanh(Vᵀy)) + b: equation 9 of Kim et al. 2017, Hadamard product for low-rank
    bilinear pooling; one token per pair of modalities, and one per modality.
    """

    def __init__(self, size: FusionSize, options: BilinearSettings):
        super().__init__(size, options)
        width_in, width = size.width_in, size.width
        self.single = nn.ModuleDict({m: nn.Linear(width_in, width) for m in self.modalities})
        self.left, self.right, self.out = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for a, b in combinations(self.modalities, 2):
            self.left[f"{a}_{b}"] = nn.Linear(width_in, options.rank, bias=False)
            self.right[f"{a}_{b}"] = nn.Linear(width_in, options.rank, bias=False)
            self.out[f"{a}_{b}"] = nn.Linear(options.rank, width)

    def forward(self, features, rows) -> FusionOutput:
        pooled = {m: features[m].pooled for m in self.given(features)}  # [N, E]
        present = {m: rows[m] >= 0 for m in pooled}  # [B]
        tokens = [gather(self.single[m](pooled[m]), rows[m]) for m in pooled]  # [B, D]
        masks = list(present.values())
        for a, b in combinations(pooled, 2):
            x = gather(torch.tanh(self.left[f"{a}_{b}"](pooled[a])), rows[a])  # [B, R]
            y = gather(torch.tanh(self.right[f"{a}_{b}"](pooled[b])), rows[b])  # [B, R]
            tokens.append(self.out[f"{a}_{b}"](x * y))  # [B, D]
            masks.append(present[a] & present[b])
        return stack(tokens, masks)
