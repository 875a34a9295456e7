"""Plain features: what is seen of assets without training, beside what an encoder learns."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from components.common.standard_scores import clipped

PLAIN = "plain"  # the tensor of an asset's features, where they were computed before
AT_ONCE = 1024  # assets that are described together
DROPOUT = 0.5  # of what is mapped, so that none is relied on alone


class PlainExtractor(nn.Module):
    """Base: describe assets by numbers, and scale those by what the training split has of them.

    Rows have lengths of about 1, so that one range of penalties suits every modality. A linear map
    of them is added to what the encoder learns.

    Args:
        width: F, of the features.
        mapped: D, of the encoder's.
    """

    INPUTS: ClassVar[frozenset[str]]  # tensors of the processor that are described
    OWN_INPUTS: ClassVar[frozenset[str]] = frozenset({PLAIN})  # tensors for these alone

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
        """Return the scaled features of N assets, [N, F], which may be among the inputs."""
        return inputs[PLAIN] if PLAIN in inputs else self.scale(self.describe(inputs))

    @torch.no_grad()
    def add_to(self, inputs: Mapping[str, Tensor], fit_to: Tensor | None = None) -> dict:
        """Return the tensors of N assets, in main memory, with their scaled features as `PLAIN`.

        What only those need is left out. The scale is first learnt from the assets in `fit_to`,
        int64 [n], if there are any.
        """
        device, count = self.map.weight.device, len(next(iter(inputs.values())))
        parts = (
            {name: value[first : first + AT_ONCE].to(device) for name, value in inputs.items()}
            for first in range(0, count, AT_ONCE)
        )
        found = torch.cat([self.describe(part) for part in parts])
        if fit_to is not None and len(fit_to):
            self.fit(found[fit_to])
        scaled = torch.cat([self.scale(part) for part in found.split(AT_ONCE)])
        left = {name: value for name, value in inputs.items() if name not in self.OWN_INPUTS}
        return {**left, PLAIN: scaled.cpu()}


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
        return clipped((features - self.mean) / self.deviation) * self.width**-0.5
