"""Bottleneck tokens, the only exchange between modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize
from components.fusion.modality_embedding import ModalityEmbedding
from components.fusion.settings import BottleneckSettings
from components.layers.transformer import Block, Unpadding


class BottleneckFusion(Fusion):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m: MBT, section 3.2 of Nagrani et al.
    2021, attention bottlenecks for multimodal fusion.

    z_m are the tokens of modality m, f the bottleneck tokens, whose start is learnt; the mean is
    over the modalities present. Each layer has separate weights per modality. Two layers are the
    minimum: in the first one modalities write into the bottleneck, in the second they react to what
    others wrote. The output is the bottleneck tokens: with the z_m, the Transformer would let
    modalities exchange everything.
    """

    def __init__(self, size: FusionSize, options: BottleneckSettings):
        super().__init__(size, options)
        shape = size.transformer
        self.tokens = ModalityEmbedding(self.modalities, size.width_in, size.width)
        self.bottlenecks = nn.Parameter(torch.empty(options.bottleneck_tokens, size.width))
        nn.init.normal_(self.bottlenecks, std=0.02)
        block = shape.width, shape.heads, shape.dropout, shape.norm
        self.first, self.second = (
            nn.ModuleDict({m: Block(*block) for m in self.modalities}) for _ in range(2)
        )

    def forward(self, features, rows) -> FusionOutput:
        there = {m: rows[m] >= 0 for m in self.given(features)}  # [B]
        assets = {m: rows[m][there[m]] for m in there}  # [b], of the samples that have it
        count, own, written = len(self.bottlenecks), {}, {}
        for m in there:  # all samples start alike, so each asset is read once
            tokens, mask = self.tokens(m, features[m].tokens), features[m].mask  # [N, T, D]
            start = self.bottlenecks.expand(len(tokens), -1, -1)  # [N, K, D]
            both = exchange(self.first[m], tokens, mask, start)  # [N, T + K, D]
            own[m], written[m] = both[:, :-count], both[assets[m], -count:]
        shared = mean_over_modalities(written, there)  # [B, K, D]
        for m in there:  # nothing reads the z_m of this layer
            tokens, mask = own[m][assets[m]], features[m].mask[assets[m]]  # [b, T, D]
            written[m] = exchange(
                self.second[m], tokens, mask, shared[there[m]], bottleneck_only=True
            )
        present = torch.stack(list(there.values())).any(0)[:, None]  # [B, 1]
        return FusionOutput(mean_over_modalities(written, there), present.expand(-1, count))


def exchange(
    block: nn.Module, own: Tensor, mask: Tensor, shared: Tensor, bottleneck_only: bool = False
) -> Tensor:
    """Apply a layer to a modality's own tokens [b, T, D] and the bottleneck tokens [b, K, D].

    Return all of them, [b, T + K, D], or the bottleneck tokens alone, [b, K, D]; `mask`, bool
    [b, T], is false at padding.
    """
    present = torch.cat([mask, mask.new_ones(shared.shape[:2])], 1)  # [b, T + K]
    unpadding = Unpadding(present)
    last = shared.shape[1] if bottleneck_only else 0
    x = unpadding.unpad(torch.cat([own, shared], 1))  # [n, D]
    x = block(x, unpadding, present[:, None, None, :], last)
    return x.view_as(shared) if bottleneck_only else unpadding.pad(x)


def mean_over_modalities(values: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Tensor:
    """Return the mean over the modalities of each sample, bool [B] each: [b, K, D] → [B, K, D]."""
    votes = torch.stack(list(there.values()))  # [M, B]
    first = next(iter(values.values()))
    total = first.new_zeros(votes.shape[1], *first.shape[1:])  # [B, K, D]
    for m, present in there.items():
        total[present] = total[present] + values[m]
    return total / votes.sum(0).float().clamp(min=1)[:, None, None]
