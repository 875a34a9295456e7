"""Mixup: the features and the labels of two samples are blended.

After Zhang et al. 2018, "mixup: beyond empirical risk minimization", and of features Verma et al.
2019, "Manifold mixup".
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta

from components.data.assets import MISSING
from components.layers.features import Features
from components.model.config import ModelConfig
from components.train.settings import TrainSettings
from components.training.run import MicroBatch


@dataclass(frozen=True)
class Mixing:
    """How the samples of a step are blended."""

    share: float  # of the sample itself, the rest is its partner's
    modalities: Set[str]  # whose features are blended
    tasks: Set[str]  # whose labels are blended


@dataclass(frozen=True)
class Pairs:
    """Samples and as many partners, each with the modalities of its sample."""

    samples: MicroBatch
    partners: MicroBatch
    mixing: Mixing


def draw_mixing(config: ModelConfig, settings: TrainSettings) -> Mixing:
    """Draw what is blended in a step.

    If it is one modality, a sample has the greater share, and keeps its labels of the tasks that
    other modalities decide as well.
    """
    share = Beta(settings.mixup, settings.mixup).sample().item()
    if settings.mixup_modalities == "all":
        return Mixing(share, set(config.modalities), config.tasks.keys())
    chosen = int(torch.randint(len(config.modalities), ()))
    others = torch.arange(len(config.modalities)) != chosen
    tasks = {name for name in config.tasks if not config.answerable(name, others[None]).item()}
    return Mixing(max(share, 1 - share), {config.modalities[chosen]}, tasks)


def draw_partners(presence: Tensor) -> Tensor:
    """Return a random permutation that leaves bool [B, modalities] as it is, int64 [B]."""
    kinds = presence.unique(dim=0, return_inverse=True)[1]  # [B]
    orders = torch.randperm(len(kinds)), torch.randperm(len(kinds))
    one, other = (order[kinds[order].argsort(stable=True)] for order in orders)
    return other[one.argsort()]


def blend_pairs(
    features: Mapping[str, Features], rows: Mapping[str, Tensor], mixing: Mixing
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return features by modality of samples blended with their partners, and rows into them.

    Args:
        features: of distinct assets.
        rows: by modality the rows of B samples, then those of their partners, [2 · B].
    """
    blended: dict[str, Any] = dict(features)
    places = {}
    for m, both in rows.items():
        one, other = both.chunk(2)
        has = one != MISSING
        if m in features and m in mixing.modalities:
            blended[m] = Blend(features[m], one[has], other[has], mixing.share)
            one = torch.where(has, has.cumsum(0) - 1, MISSING)
        places[m] = one
    return blended, places


class Blend:
    """`Features` of N pairs of assets, blended when they are read: many fusions read no tokens.

    A token that only one of the two has stays whole.
    """

    def __init__(self, features: Features, one: Tensor, other: Tensor, share: float):
        self._features, self._one, self._other, self._share = features, one, other, share

    @cached_property
    def mask(self) -> Tensor:
        """bool [N, T]."""
        return self._features.mask[self._one] | self._features.mask[self._other]

    @cached_property
    def tokens(self) -> Tensor:
        """float [N, T, D]."""
        one, other = self._features[self._one], self._features[self._other]
        weight = torch.where(one.mask & other.mask, self._share, one.mask.to(one.tokens.dtype))
        return torch.lerp(other.tokens, one.tokens, weight[..., None])

    @cached_property
    def pooled(self) -> Tensor:
        """float [N, D]."""
        return self._mixed(self._features.pooled)

    @cached_property
    def plain(self) -> Tensor | None:
        """float [N, F], if the encoder has plain features."""
        plain = self._features.plain
        return None if plain is None else self._mixed(plain)

    def _mixed(self, values: Tensor) -> Tensor:
        return torch.lerp(values[self._other], values[self._one], self._share)
