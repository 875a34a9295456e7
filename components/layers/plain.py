"""Plain features: what is seen of assets without training, beside what an encoder learns."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

DROPOUT = 0.5  # of what is mapped, so that none is relied on alone
FARTHEST = 5.0  # standard deviations from the mean


class PlainExtractor(nn.Module):
    """Base: describe assets by numbers, and scale those by what the training split has of them.

    Rows have lengths of about 1, so that one range of penalties suits every modality. A linear map
    of them is added to what the encoder learns.

    Args:
        width: F, of the features.
        mapped: D, of the encoder's.
    """

    OWN_INPUTS: ClassVar[frozenset[str]] = frozenset()  # tensors of the processor for these alone

    def __init__(self, width: int, mapped: int):
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(DROPOUT)
        self.map = nn.Linear(width, mapped, bias=False)
        nn.init.zeros_(self.map.weight)  # it says nothing until it is trained

    def mapped(self, features: Tensor) -> Tensor:
        """Return the linear map of scaled features, [N, F] → [N, D]."""
        return self.map(self.dropout(features * self.width**0.5))

    @abstractmethod
    def describe(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return numbers [N, F] of N assets, from the tensors of the processor."""

    @abstractmethod
    def fit(self, features: Tensor) -> None:
        """Learn the scale from the numbers of training assets [N, F]."""

    @abstractmethod
    def scale(self, features: Tensor) -> Tensor:
        """Return scaled features, [N, F] → [N, F]."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the scaled features of N assets, [N, F]."""
        return self.scale(self.describe(inputs))


class StandardisedExtractor(PlainExtractor):
    """Features with mean 0 and deviation 1, divided by √F."""

    def __init__(self, width: int, mapped: int):
        super().__init__(width, mapped)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.mean: Tensor
        self.deviation: Tensor

    def fit(self, features: Tensor) -> None:
        self.mean.copy_(features.mean(0))
        deviation = features.var(0, correction=0) ** 0.5
        self.deviation.copy_(torch.where(deviation > 1e-5, deviation, 1.0))

    def scale(self, features: Tensor) -> Tensor:
        z = (features - self.mean) / self.deviation
        return z.clamp(-FARTHEST, FARTHEST) * self.width**-0.5
