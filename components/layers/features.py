"""Features, the output of every encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from components.layers.plain import PLAIN, PlainExtractor


@dataclass(frozen=True)
class Features:
    """Features of N assets of one modality."""

    tokens: Tensor  # float [N, T, D]
    mask: Tensor  # bool [N, T], false at padding
    pooled: Tensor  # float [N, D], one vector per asset
    plain: Tensor | None = None  # float [N, F], plain features, if the encoder has them beside it

    def __getitem__(self, rows) -> "Features":
        """Return the features of some of the assets."""
        plain = None if self.plain is None else self.plain[rows]
        return Features(self.tokens[rows], self.mask[rows], self.pooled[rows], plain)

    def __len__(self) -> int:
        return len(self.pooled)

    @classmethod
    def cat(cls, parts: Sequence["Features"]) -> "Features":
        """Concatenate batches of assets."""
        return cls(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.mask for part in parts]),
            torch.cat([part.pooled for part in parts]),
            cat_plain(parts),
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a feature shard: tokens, lengths, pooled, and plain if there."""
        tensors = {"tokens": self.tokens, "lengths": self.mask.sum(1), "pooled": self.pooled}
        return tensors if self.plain is None else {**tensors, "plain": self.plain}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Features":
        """The inverse of `to_tensors`."""
        tokens = tensors["tokens"]
        mask = length_mask(tensors["lengths"], tokens.shape[1])
        return cls(tokens, mask, tensors["pooled"], tensors.get("plain"))


class Encoder(nn.Module):
    """Base of all encoders: `forward` takes the tensors of the processor and returns `Features`."""

    width: int  # D of the features
    max_batch_size: ClassVar[int] = 256  # assets that are encoded together

    def __init__(self):
        super().__init__()
        self.plain: PlainExtractor | None = None

    def encode(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return the features, with plain ones, from all tensors of the processor."""
        if self.plain is None:
            return self(**inputs)
        own = {name: value for name, value in inputs.items() if name not in self.plain.OWN_INPUTS}
        features, plain = self(**own), self.plain(inputs)
        return replace(features, pooled=features.pooled + self.plain.mapped(plain), plain=plain)

    def changed(
        self, inputs: Mapping[str, Tensor], changes: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return inputs with changes to some, without plain features that are no longer true."""
        result = {**inputs, **changes}
        seen = changes.keys() & self.plain.INPUTS if self.plain else ()
        if not all(changes[name].equal(inputs[name]) for name in seen):
            result.pop(PLAIN, None)
        return result


def cat_plain(parts: Sequence[Features], dim: int = 0) -> Tensor | None:
    """Return the plain features of several parts in one; None if they have none."""
    found = [part.plain for part in parts if part.plain is not None]
    return torch.cat(found, dim) if found else None


@torch.no_grad()
def encode(encoder: Encoder, inputs: Mapping[str, Tensor], rows: Tensor) -> Features:
    """Encode the assets in `rows`, int64 [n], of `inputs` with an encoder in evaluation mode."""
    parts = rows.split(encoder.max_batch_size)
    taken = ({k: v.index_select(0, part) for k, v in inputs.items()} for part in parts)
    return Features.cat([encoder.encode(batch) for batch in taken])


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask that is true for the first `lengths` of `size` places: [N] → [N, size]."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the tokens that are not padding: [N, T, D], [N, T] → [N, D]."""
    weights = mask.to(tokens.dtype)[..., None]  # [N, T, 1]
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)
