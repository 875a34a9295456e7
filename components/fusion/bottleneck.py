"""Bottleneck tokens, through which alone modalities exchange anything."""

import torch
from torch import Tensor, nn

from components.fusion.modality_embedding import Tokens
from components.fusion.output import FeaturesByModality, Fused, RowsByModality
from components.layers.transformer import Block, Places
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class BottleneckFusion(nn.Module):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m: MBT, section 3.2 of Nagrani et al.
    2021, attention bottlenecks for multimodal fusion.

    z_m are the tokens of modality m, f the bottleneck tokens, learnt where they start; the mean is
    over the modalities present. Each layer has weights of its own for each modality. Two layers are
    the fewest: in the first modalities tell, in the second they answer what they heard. The
    bottleneck tokens are what comes out: if the z_m did, the Transformer would let modalities
    exchange all.
    """

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        self.tokens = Tokens(width_in, options.width)
        self.bottlenecks = nn.Parameter(torch.empty(options.bottlenecks, options.width))
        nn.init.normal_(self.bottlenecks, std=0.02)
        size = options.width, options.heads, options.dropout, options.norm
        self.first, self.second = (
            nn.ModuleDict({m: Block(*size) for m in MODALITIES}) for _ in range(2)
        )

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → the bottleneck tokens, K a sample."""
        there = {m: rows[m] >= 0 for m in MODALITIES if m in features}  # [B]
        assets = {m: rows[m][there[m]] for m in there}  # [b], of the samples that have it
        count, own, told = len(self.bottlenecks), {}, {}
        for m in there:  # all samples start alike, so each asset is read once
            tokens, mask = self.tokens(m, features[m].tokens), features[m].mask  # [N, T, D]
            start = self.bottlenecks.expand(len(tokens), -1, -1)  # [N, K, D]
            both = exchange(self.first[m], tokens, mask, start)  # [N, T + K, D]
            own[m], told[m] = both[:, :-count], both[assets[m], -count:]
        shared = mean(told, there)  # [B, K, D]
        for m in there:  # nothing reads the z_m that would come of this layer
            tokens, mask = own[m][assets[m]], features[m].mask[assets[m]]  # [b, T, D]
            told[m] = exchange(self.second[m], tokens, mask, shared[there[m]], told_only=True)
        present = torch.stack(list(there.values())).any(0)[:, None]  # [B, 1]
        return Fused(mean(told, there), present.expand(-1, count))


def exchange(
    block: Block, own: Tensor, mask: Tensor, shared: Tensor, told_only: bool = False
) -> Tensor:
    """A layer over a modality's tokens [b, T, D] and the bottleneck tokens [b, K, D].

    Args:
        block: of the modality.
        own: the modality's tokens.
        mask: bool [b, T], true where such a token is there.
        shared: the bottleneck tokens.
        told_only: whether only the bottleneck tokens are computed, [b, K, D]; else [b, T + K, D].
    """
    whole = torch.cat([mask, mask.new_ones(shared.shape[:2])], 1)  # [b, T + K]
    places = Places.of(whole)
    last = shared.shape[1] if told_only else 0
    x = places.pack(torch.cat([own, shared], 1))  # [n, D]
    x = block(x, places, whole[:, None, None, :], last)
    return x.view_as(shared) if told_only else places.spread(x)


def mean(told: dict[str, Tensor], there: dict[str, Tensor]) -> Tensor:
    """The mean over the modalities of a sample, bool [B] each: [b, K, D] each → [B, K, D]."""
    total, count = 0, 0
    for m, present in there.items():
        spread = told[m].new_zeros(len(present), *told[m].shape[1:])
        spread[present] = told[m]
        total, count = total + spread, count + present.float()
    return total / count.clamp(min=1)[:, None, None]
