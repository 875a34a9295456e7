"""Concatenation: every token of every modality, one after the other."""

import torch
from torch import nn

from components.fusion.modality_embedding import Tokens
from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class ConcatFusion(nn.Module):
    """One sequence of all tokens, each marked with modality and position (Kim et al. 2021, ViLT).

    z = [x_image W_image + e_image + p; x_text W_text + e_text + p; …], their equation 1; the layers
    of the Transformer are self-attention and cross-modal attention in one.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.tokens = Tokens(width_in, options.width)

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → as many tokens as the modalities have together."""
        tokens, masks = [], []
        for m in MODALITIES:
            if m in features:
                tokens.append(pick(self.tokens(m, features[m].tokens), rows[m]))  # [B, T, D]
                masks.append(pick(features[m].mask, rows[m]) & (rows[m] >= 0)[:, None])
        return Fused(torch.cat(tokens, 1), torch.cat(masks, 1))
