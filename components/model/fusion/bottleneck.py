"""Bottleneck tokens, through which alone modalities exchange anything."""

import torch
from torch import Tensor, nn

from components.config.section import MODALITIES
from components.config.settings import ModelSettings
from components.model.base.transformer import Block, Places
from components.model.fusion.fused import FeaturesByModality, Fused, RowsByModality, pick
from components.model.fusion.tokens import Tokens

LAYERS = 2  # the fewest: in the first modalities tell, in the second they answer what they heard


class BottleneckFusion(nn.Module):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m: MBT, section 3.2 of Nagrani et al.
    2021, attention bottlenecks for multimodal fusion.

    z_m are the tokens of modality m, f the bottleneck tokens, learnt where they start; the mean is
    over the modalities present. Each layer has weights of its own for each modality. The bottleneck
    tokens are what comes out: if the z_m did, the Transformer would let modalities exchange all.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.tokens = Tokens(width_in, options.width)
        self.bottlenecks = nn.Parameter(torch.empty(options.bottlenecks, options.width))
        nn.init.normal_(self.bottlenecks, std=0.02)
        size = options.width, options.heads, options.dropout, options.norm
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: Block(*size) for m in MODALITIES}) for _ in range(LAYERS)
        )

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → the bottleneck tokens, K a sample."""
        here = {m: features[m] for m in MODALITIES if m in features}
        there = torch.stack([rows[m] >= 0 for m in here])  # [M, B]
        first, *rest = self.layers
        own, said = {}, {}
        for m, f in here.items():  # all samples start alike: each asset is read once
            shared = self.bottlenecks.expand(len(f.mask), -1, -1)  # [N, K, D]
            tokens, told = exchange(first[m], self.tokens(m, f.tokens), f.mask, shared)
            own[m], said[m] = pick(tokens, rows[m]), pick(told, rows[m])  # [B, T or K, D]
        shared = mean(said, there)
        masks = {m: pick(f.mask, rows[m]) for m, f in here.items()}  # [B, T]
        for layer in rest:
            for m, present in zip(here, there, strict=True):
                own[m], said[m] = exchange(layer[m], own[m], masks[m], shared, present)
            shared = mean(said, there)
        return Fused(shared, there.any(0)[:, None].expand(shared.shape[:2]))


def exchange(
    block: Block, own: Tensor, mask: Tensor, shared: Tensor, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A layer over a modality's tokens [B, T, D] and the bottleneck tokens [B, K, D].

    Args:
        block: of the modality.
        own: the modality's tokens.
        mask: bool [B, T], true where such a token is there.
        shared: the bottleneck tokens.
        present: bool [B], whose modality is there; None: all are. Of the others come zeros.
    """
    whole = torch.cat([mask, mask.new_ones(shared.shape[:2])], 1)  # [B, T + K]
    whole = whole if present is None else whole & present[:, None]
    places = Places.of(whole)
    x = block(places.pack(torch.cat([own, shared], 1)), places, whole[:, None, None, :])
    return places.spread(x).split([own.shape[1], shared.shape[1]], 1)


def mean(said: dict[str, Tensor], there: Tensor) -> Tensor:
    """The mean over the modalities that are there, bool [M, B]: [B, K, D] each → [B, K, D]."""
    weights = there / there.sum(0).clamp(min=1)  # [M, B]
    return (torch.stack(list(said.values())) * weights[..., None, None]).sum(0)
