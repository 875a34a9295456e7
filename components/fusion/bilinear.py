"""Low-rank bilinear pooling of every pair of modalities."""

from itertools import combinations

import torch
from torch import nn

from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick, stack
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class BilinearFusion(nn.Module):
    """Pᵀ(tanh(Uᵀx) ∘ tanh(Vᵀy)) + b: equation 9 of Kim et al. 2017, Hadamard product for low-rank
    bilinear pooling; one token a pair of modalities, beside one token a modality.
    """

    PAIRS = tuple(combinations(MODALITIES, 2))

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.single = nn.ModuleDict({m: nn.Linear(width_in, options.width) for m in MODALITIES})
        self.left, self.right, self.out = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for a, b in self.PAIRS:
            self.left[f"{a}_{b}"] = nn.Linear(width_in, options.rank, bias=False)
            self.right[f"{a}_{b}"] = nn.Linear(width_in, options.rank, bias=False)
            self.out[f"{a}_{b}"] = nn.Linear(options.rank, options.width)

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → six tokens; those of missing modalities are masked."""
        pooled = {m: features[m].pooled for m in MODALITIES if m in features}  # [N, E]
        present = {m: rows[m] >= 0 for m in pooled}  # [B]
        tokens = [pick(self.single[m](pooled[m]), rows[m]) for m in pooled]  # [B, D]
        masks = [present[m] for m in pooled]
        for a, b in self.PAIRS:
            if a in pooled and b in pooled:
                x = pick(torch.tanh(self.left[f"{a}_{b}"](pooled[a])), rows[a])  # [B, R]
                y = pick(torch.tanh(self.right[f"{a}_{b}"](pooled[b])), rows[b])  # [B, R]
                tokens.append(self.out[f"{a}_{b}"](x * y))  # [B, D]
                masks.append(present[a] & present[b])
        return stack(tokens, masks)
