"""What every fusion gives, and what every fusion needs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from components.layers.features import Features
from components.modalities.registry import Modality

FeaturesByModality = Mapping[Modality, Features]
RowsByModality = Mapping[Modality, Tensor]  # int64 [B] each, -1 where the modality is missing


@dataclass(frozen=True)
class Fused:
    """The fused tokens of B samples.

    Attributes:
        tokens: float [B, T, D].
        mask: bool [B, T], true where a token is there.
        votes: None, or bool [B, M]: then the rows of `tokens` and `mask` are not the samples, but
            the places where `votes` is true, modalities of samples that decide by themselves.
    """

    tokens: Tensor
    mask: Tensor
    votes: Tensor | None = None


def stack(tokens: list[Tensor], masks: list[Tensor]) -> Fused:
    """Fused tokens from single ones: [B, D] and [B] each."""
    return Fused(torch.stack(tokens, dim=1), torch.stack(masks, dim=1))


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """The samples' own rows of `values` [N, ...] → [B, ...]; row 0 stands in for a missing one."""
    return values.index_select(0, rows.clamp(min=0))
