"""The outer product of all modalities, in low-rank form."""

import torch
from torch import nn

from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick, stack
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class TensorFusion(nn.Module):
    """h = W ([x_1; 1] ⊗ [x_2; 1] ⊗ …) + b: section 4.2 of Zadeh et al. 2017, tensor fusion network.

    The 1 keeps the product of every subset of the modalities in it, the single ones too; a missing
    modality is the vector [0; 1]. W is a sum of R products of one vector a modality and one for
    what comes out, W = Σ_r p_r ⊗ u_1r ⊗ u_2r ⊗ …, so that h = P (U_1 [x_1; 1] ∘ U_2 [x_2; 1] ∘ …)
    + b without the product being made, as Liu et al. 2018 (low-rank multimodal fusion, section
    3.2); they have other vectors u for each number of h, here P tells those apart.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.factors = nn.ModuleDict({m: nn.Linear(width_in, options.rank) for m in MODALITIES})
        self.out = nn.Linear(options.rank, options.width)
        for factor in self.factors.values():  # around 1: products neither vanish nor explode
            nn.init.normal_(factor.weight, std=width_in**-0.5)
            nn.init.ones_(factor.bias)

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → one token."""
        size = len(next(iter(rows.values())))
        product = self.out.weight.new_ones(size, self.out.in_features)  # [B, R]
        present = torch.zeros_like(rows["image"], dtype=torch.bool)
        for m, factor in self.factors.items():
            there = rows[m] >= 0
            if m in features:
                factors = pick(factor(features[m].pooled), rows[m])  # [B, R]
                product = product * torch.where(there[:, None], factors, factor.bias)
            else:
                product = product * factor.bias
            present = present | there
        return stack([self.out(product)], [present])
