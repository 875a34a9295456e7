"""From a modality's own features into the space that all modalities share."""

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor, nn
from torch.nn import functional as F

from components.layers.features import Features
from components.modalities.registry import MODALITIES, Modality


class Projection(nn.Module):
    """Layer norm and a linear map, one each for the tokens and for the pooled features."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.tokens = nn.Sequential(nn.LayerNorm(width_in), nn.Linear(width_in, width))
        self.pooled = nn.Sequential(nn.LayerNorm(width_in), nn.Linear(width_in, width))

    def forward(self, features: Features) -> "Projected":
        """Features of width D → features of width E; `pooled` is not normalised."""
        return Projected(self, features)


class Projected:
    """Projected features, computed when they are first read: most fusions read the pooled only.

    Attributes: as those of `Features`.
    """

    def __init__(self, projection: Projection, features: Features):
        self.mask = features.mask
        self._projection, self._features = projection, features

    @cached_property
    def tokens(self) -> Tensor:
        """float [N, T, E]."""
        return self._projection.tokens(self._features.tokens)

    @cached_property
    def pooled(self) -> Tensor:
        """float [N, E]."""
        return self._projection.pooled(self._features.pooled)


class Projections(nn.ModuleDict):
    """One projection a modality."""

    def __init__(self, widths: Mapping[Modality, int], width: int):
        super().__init__({m: Projection(widths[m], width) for m in MODALITIES if m in widths})

    def embed(self, modality: Modality, pooled: Tensor) -> Tensor:
        """Pooled features [N, D] → embeddings of length 1 [N, E]."""
        return F.normalize(self[modality].pooled(pooled), dim=-1)
