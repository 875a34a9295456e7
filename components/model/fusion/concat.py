"""Concatenation: every token of every modality, one after the other."""

import torch
from torch import nn

from components.config.section import MODALITIES
from components.config.settings import ModelSettings
from components.model.fusion.fused import FeaturesByModality, Fused, RowsByModality, pick


class ConcatFusion(nn.Module):
    """One sequence of all tokens, each with its modality's embedding (Kim et al. 2021, ViLT)."""

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.maps = nn.ModuleDict({m: nn.Linear(width_in, options.width) for m in MODALITIES})
        self.modality = nn.ParameterDict({m: torch.zeros(options.width) for m in MODALITIES})

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → as many tokens as the modalities have together."""
        tokens, masks = [], []
        for m in MODALITIES:
            if m in features:
                mapped = self.maps[m](features[m].tokens) + self.modality[m]  # [N, T, D]
                tokens.append(pick(mapped, rows[m]))  # [B, T, D]
                masks.append(pick(features[m].mask, rows[m]) & (rows[m] >= 0)[:, None])
        return Fused(torch.cat(tokens, 1), torch.cat(masks, 1))
