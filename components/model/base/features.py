"""What every encoder gives, whatever its modality."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Features of N assets of one modality.

    Attributes:
        tokens: float [N, T, D].
        mask: bool [N, T], true where a token is there.
        pooled: float [N, D], one vector an asset.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor

    def __getitem__(self, rows) -> "Features":
        """The features of some of the assets."""
        return Features(self.tokens[rows], self.mask[rows], self.pooled[rows])

    def __len__(self) -> int:
        return len(self.pooled)


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True for the first `lengths` of `size` places: [N] → bool [N, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are there: [N, T, D], [N, T] → [N, D]."""
    weights = mask.to(tokens.dtype)[..., None]  # [N, T, 1]
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)
