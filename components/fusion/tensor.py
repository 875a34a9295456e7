"""The outer product of all modalities in low-rank form."""

import torch
from torch import nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather, stack
from components.fusion.settings import TensorSettings


class TensorFusion(Fusion):
    """h = W ([x_1; 1] ⊗ [x_2; 1] ⊗ …) + b: section 4.2 of Zadeh et al. 2017, tensor fusion network.

    The 1 keeps the product of every subset of the modalities in it, single ones too; a missing
    modality is the vector [0; 1]. W is a sum of R products of one vector per modality and one for
    the output, W = Σ_r p_r ⊗ u_1r ⊗ u_2r ⊗ …, so h = P (U_1 [x_1; 1] ∘ U_2 [x_2; 1] ∘ …) + b, and
    the outer product is never computed, as in Liu et al. 2018 (low-rank multimodal fusion, section
    3.2); theirs has separate vectors u per component of h, which P tells apart here.
    """

    def __init__(self, size: FusionSize, options: TensorSettings):
        super().__init__(size, options)
        factors = {m: nn.Linear(size.width_in, options.rank) for m in self.modalities}
        self.factors = nn.ModuleDict(factors)
        self.out = nn.Linear(options.rank, size.width)
        for factor in factors.values():  # around 1, so that products neither vanish nor explode
            nn.init.normal_(factor.weight, std=size.width_in**-0.5)
            nn.init.ones_(factor.bias)

    def forward(self, features, rows) -> FusionOutput:
        present = torch.stack([rows[m] >= 0 for m in self.modalities])  # [M, B]
        product = self.out.weight.new_ones(present.shape[1], self.out.in_features)  # [B, R]
        for (m, factor), there in zip(self.factors.items(), present, strict=True):
            assert isinstance(factor, nn.Linear)
            if m in features:
                factors = gather(factor(features[m].pooled), rows[m])  # [B, R]
                product = product * torch.where(there[:, None], factors, factor.bias)
            else:
                product = product * factor.bias
        return stack([self.out(product)], [present.any(0)])
