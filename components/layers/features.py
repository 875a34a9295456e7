"""What every encoder gives, whatever its modality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

AT_ONCE = 256  # assets that are encoded together


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

    @classmethod
    def cat(cls, parts: Sequence["Features"]) -> "Features":
        """The features of several batches of assets as those of one."""
        return cls(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.mask for part in parts]),
            torch.cat([part.pooled for part in parts]),
        )


@torch.no_grad()
def encode(encoder: nn.Module, inputs: Mapping[str, Tensor], rows: Tensor) -> Features:
    """Features of some assets, a few hundred at a time; `encoder` is in evaluation mode.

    Args:
        encoder: of one modality; `at_once` says how many assets it takes, if it is a large one.
        inputs: what it takes, a row an asset.
        rows: int64 [n], the assets.
    """
    parts = rows.split(getattr(encoder, "at_once", AT_ONCE))
    return Features.cat([encoder(**{k: v[part] for k, v in inputs.items()}) for part in parts])


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True for the first `lengths` of `size` places: [N] → bool [N, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are there: [N, T, D], [N, T] → [N, D]."""
    weights = mask.to(tokens.dtype)[..., None]  # [N, T, 1]
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def tensors_of(features: Features) -> dict[str, Tensor]:
    """The tensors of a feature shard: tokens, lengths, pooled."""
    lengths = features.mask.sum(1)
    return {"tokens": features.tokens, "lengths": lengths, "pooled": features.pooled}


def features_of(tensors: Mapping[str, Tensor]) -> Features:
    """`Features` from the tensors of a feature shard."""
    tokens = tensors["tokens"]
    return Features(tokens, length_mask(tensors["lengths"], tokens.shape[1]), tensors["pooled"])
