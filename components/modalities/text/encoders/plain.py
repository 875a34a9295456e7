"""Plain features of texts: words and characters, the more the rarer they are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from components.layers.plain import PLAIN, PlainExtractor
from components.modalities.text.modality import BUCKETS, COUNTS, KINDS


class PlainTextExtractor(PlainExtractor):
    """TF-IDF of hashed words and characters, each kind of length 1."""

    INPUTS = frozenset({COUNTS})
    OWN_INPUTS = frozenset({COUNTS, PLAIN})

    def __init__(self, mapped: int):
        super().__init__(KINDS * BUCKETS, mapped)
        self.register_buffer("rarity", torch.ones(self.width))  # inverse document frequency
        self.rarity: Tensor

    def describe(self, inputs: Mapping[str, Tensor]) -> Tensor:
        counts = inputs[COUNTS].float()
        return counts.sign() * counts.abs().log1p()

    def fit(self, features: Tensor) -> None:
        """Learn log((1 + N) / (1 + n)) + 1, with n of N texts in a bucket, as scikit-learn does."""
        frequency = (1 + (features != 0).sum(0)) / (1 + len(features))
        self.rarity.copy_(1 - frequency.log())

    def scale(self, features: Tensor) -> Tensor:
        x = (features * self.rarity).unflatten(1, (KINDS, BUCKETS))  # [N, KINDS, BUCKETS]
        length = (x * x).sum(2, keepdim=True) ** 0.5
        return (x / length.clamp(min=1e-9)).flatten(1)
