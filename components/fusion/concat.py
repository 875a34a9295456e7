"""Concatenation: all tokens of all modalities in one sequence."""

import torch

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather
from components.fusion.modality_embedding import ModalityEmbedding
from components.fusion.settings import ConcatSettings


class ConcatFusion(Fusion):
    """One sequence of all tokens, each marked with modality and position (Kim et al. 2021, ViLT).

    z = [x_image W_image + e_image + p; x_text W_text + e_text + p; …], their equation 1; the layers
    of the Transformer, which is not causal, are self-attention and cross-modal attention in one.
    """

    IS_CAUSAL = False

    def __init__(self, size: FusionSize, options: ConcatSettings):
        super().__init__(size, options)
        self.tokens = ModalityEmbedding(self.modalities, size.width_in, size.width)

    def forward(self, features, rows) -> FusionOutput:
        tokens, masks = [], []
        for m in self.given(features):
            tokens.append(gather(self.tokens(m, features[m].tokens), rows[m]))  # [B, T, D]
            masks.append(gather(features[m].mask, rows[m]) & (rows[m] >= 0)[:, None])
        return FusionOutput(torch.cat(tokens, 1), torch.cat(masks, 1))
