"""Mixup: the features and the labels of two samples are blended.

After Zhang et al. 2018, "mixup: beyond empirical risk minimization", and of features Verma et al.
2019, "Manifold mixup".
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

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
) -> tuple[dict[str, Features], dict[str, Tensor]]:
    """Return features by modality of samples blended with their partners, and rows into them.

    Args:
        features: of distinct assets.
        rows: by modality the rows of B samples, then those of their partners, [2 · B].
    """
    blended, places = dict(features), {}
    for m, both in rows.items():
        one, other = both.chunk(2)
        has = one != MISSING
        if m in features and m in mixing.modalities:
            blended[m] = blend(features[m][one[has]], features[m][other[has]], mixing.share)
            one = torch.where(has, has.cumsum(0) - 1, MISSING)
        places[m] = one
    return blended, places


def blend(one: Features, other: Features, share: float) -> Features:
    """Return the features of pairs of assets; a token that only one of the two has stays whole."""
    both = one.mask & other.mask
    weight = torch.where(both, share, one.mask.to(one.tokens.dtype))[..., None]  # [N, T, 1]
    return Features(
        tokens=torch.lerp(other.tokens, one.tokens, weight.to(one.tokens.dtype)),
        mask=one.mask | other.mask,
        pooled=torch.lerp(other.pooled, one.pooled, share),
    )
