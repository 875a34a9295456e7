"""From a modality's own features into the space that all modalities share."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.config.section import MODALITIES, Modality
from components.model.base.features import Features


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


def contrastive_loss(left: Tensor, right: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021, figure 3) with any number of partners.

    Each positive pair is told from the pairs that are not positive: two assets with the same
    partner are never each other's negatives.

    Args:
        left: embeddings of length 1 [N, E].
        right: embeddings of length 1 [M, E].
        positive: bool [N, M], true where the two belong together.
        scale: the inverse temperature, a scalar.
    """
    logits = scale * left @ right.T  # [N, M]
    return 0.5 * (_one_way(logits, positive) + _one_way(logits.T, positive.T))


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over the positive pairs of -log(e^s / (e^s + Σ over the negatives of its row))."""
    negatives = logits.masked_fill(positive, -torch.inf).logsumexp(1, keepdim=True)  # [N, 1]
    losses = F.softplus(negatives - logits)  # log(1 + e^(negatives - s)), [N, M]
    return losses.masked_fill(~positive, 0.0).sum() / positive.sum().clamp(min=1)
