"""Bottleneck tokens, through which alone modalities exchange anything."""

import torch
from torch import nn

from components.config.section import MODALITIES
from components.config.settings import ModelSettings
from components.model.base.transformer import Block, Places
from components.model.fusion.fused import FeaturesByModality, Fused, RowsByModality, pick
from components.model.fusion.tokens import Tokens


class BottleneckFusion(nn.Module):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m: MBT, section 3.2 of Nagrani et al.
    2021, attention bottlenecks for multimodal fusion.

    z_m are the tokens of modality m, f the bottleneck tokens, learnt at first; the mean is over the
    modalities present. There are as many layers as in the Transformer, each with its own weights a
    modality. The bottleneck tokens are what comes out.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.tokens = Tokens(width_in, options.width)
        self.bottlenecks = nn.Parameter(torch.empty(options.bottlenecks, options.width))
        nn.init.normal_(self.bottlenecks, std=0.02)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    m: Block(options.width, options.heads, options.dropout, options.norm)
                    for m in MODALITIES
                }
            )
            for _ in range(options.layers)
        )

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → the bottleneck tokens."""
        here = [m for m in MODALITIES if m in features]
        size, count = len(rows[here[0]]), len(self.bottlenecks)
        shared = self.bottlenecks.expand(size, -1, -1)  # [B, K, D]
        present = {m: (rows[m] >= 0)[:, None] for m in here}  # [B, 1]
        own = {m: pick(self.tokens(m, features[m].tokens), rows[m]) for m in here}  # [B, T, D]
        masks = {
            m: torch.cat([pick(features[m].mask, rows[m]), present[m].expand(-1, count)], 1)
            & present[m]
            for m in here
        }  # [B, T + K]
        places = {m: Places.of(masks[m]) for m in here}
        voices = torch.stack([present[m] for m in here]).sum(0).clamp(min=1)[..., None]
        for layer in self.layers:
            heard = torch.zeros_like(shared)
            for m in here:
                x = places[m].pack(torch.cat([own[m], shared], 1))  # [n, D]
                x = places[m].spread(layer[m](x, places[m], masks[m][:, None, None, :]))
                own[m], said = x[:, :-count], x[:, -count:]
                heard = heard + said  # zeros where the modality is missing
            shared = heard / voices
        return Fused(shared, (voices > 0)[..., 0].expand(-1, count))
