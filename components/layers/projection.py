"""Projection of each modality's features into the space that all modalities share."""

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor, nn
from torch.nn import functional as F

from components.layers.features import Features


class Projection(nn.Module):
    """Layer norm and a linear map, one each for the tokens and for the pooled features."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.tokens = nn.Sequential(nn.LayerNorm(width_in), nn.Linear(width_in, width))
        self.pooled = nn.Sequential(nn.LayerNorm(width_in), nn.Linear(width_in, width))

    def forward(self, features: Features) -> "ProjectedFeatures":
        """Features of width D → features of width E; `pooled` is not normalised."""
        return ProjectedFeatures(self, features)


class ProjectedFeatures:
    """Projected `Features`, computed when they are read: most fusions read only the pooled ones."""

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
    """One projection per modality, from the width of its features to that of the shared space."""

    def __init__(self, widths: Mapping[str, int], width: int):
        super().__init__({m: Projection(width_in, width) for m, width_in in widths.items()})

    def embed(self, modality: str, pooled: Tensor) -> Tensor:
        """Pooled features [N, D] → embeddings of length 1 [N, E]."""
        projection = self[modality]
        assert isinstance(projection, Projection)
        return F.normalize(projection.pooled(pooled), dim=-1)
