"""Contract of fusions: their input and their output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from components.fusion.settings import FusionSettings
from components.layers.features import Features
from components.layers.projection import ProjectedFeatures
from components.layers.transformer_shape import TransformerShape

FeaturesByModality = Mapping[str, Features | ProjectedFeatures]
RowsByModality = Mapping[str, Tensor]  # int64 [B] each, -1 where the modality is missing


@dataclass(frozen=True)
class FusionOutput:
    """Fused tokens of B samples.

    With `votes`, the rows of `tokens` and `mask` are not samples, but the places where `votes` is
    true: modalities of samples that decide by themselves.
    """

    tokens: Tensor  # float [B, T, D]
    mask: Tensor  # bool [B, T], false at padding
    votes: Tensor | None = None  # bool [B, M]


@dataclass(frozen=True)
class FusionSize:
    """What a fusion connects."""

    modalities: Sequence[str]  # of the model, in order
    width_in: int  # E of the projected features
    transformer: TransformerShape  # that reads the fused tokens

    @property
    def width(self) -> int:
        """D of the fused tokens."""
        return self.transformer.width


class Fusion(nn.Module):
    """Fuses the features of all modalities of a sample into one sequence of tokens.

    Features hold each distinct asset once, so what concerns one modality alone is computed before
    `gather` gives each sample its rows.
    """

    IS_CAUSAL: ClassVar[bool] = True  # the Transformer over the fused tokens

    def __init__(self, size: FusionSize, options: FusionSettings):
        super().__init__()
        self.modalities = tuple(size.modalities)

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> FusionOutput:
        """Fuse B samples.

        Args:
            features: of each distinct asset, [N, T, E] per modality; a modality that no sample has
                may be left out.
            rows: per modality the row of each sample's asset in `features`.
        """
        raise NotImplementedError

    def given(self, features: FeaturesByModality) -> list[str]:
        """Return the modalities that any sample has, in order."""
        return [m for m in self.modalities if m in features]


def stack(tokens: list[Tensor], masks: list[Tensor]) -> FusionOutput:
    """Return the output with these tokens: [B, D] and [B] each."""
    return FusionOutput(torch.stack(tokens, 1), torch.stack(masks, 1))


def gather(values: Tensor, rows: Tensor) -> Tensor:
    """Return the rows of the samples: [N, ...] → [B, ...]; row 0 stands in for a missing one."""
    return values.index_select(0, rows.clamp(min=0))
