"""Features of sound that need no training: statistics of its mel bands."""

from collections.abc import Mapping

import torch
from torch import Tensor

from components.layers.features import length_mask
from components.layers.plain import StandardisedExtractor

PARTS = 8  # of equal length, whose means tell what comes when


class PlainAudioExtractor(StandardisedExtractor):
    """Statistics of spectrograms with some number of mel bands."""

    INPUTS = frozenset({"mels", "lengths"})

    def __init__(self, bands: int, mapped: int):
        super().__init__(width(bands), mapped)

    def describe(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return describe(inputs["mels"], inputs["lengths"])


def width(bands: int) -> int:
    """Return the number of features of a spectrogram with so many bands."""
    return 1 + bands * (3 + PARTS)


def describe(mels: Tensor, lengths: Tensor) -> Tensor:
    """Return statistics of spectrograms, [N, M, T] and their lengths [N] → [N, width(M)].

    They are the logarithm of the length, and per band mean, deviation, mean change from frame to
    frame, and the mean in each part, as in the baseline: see `plain_features`.
    """
    lengths = lengths.clamp(min=1)
    inside = length_mask(lengths, mels.shape[2])[:, None].to(mels.dtype)  # [N, 1, T]
    count = lengths[:, None].to(mels.dtype)  # [N, 1]
    mels = mels * inside
    mean = mels.sum(2) / count  # [N, M]
    deviation = ((mels - mean[..., None]).square() * inside).sum(2) / count
    change = (mels.diff(dim=2).abs() * inside[..., 1:]).sum(2) / count
    means = _means_of_parts(mels, lengths)
    return torch.cat([count.log(), mean, (deviation + 1e-8) ** 0.5, change, means.flatten(1)], 1)


def _means_of_parts(mels: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each part, [N, M, PARTS]; a part has at least one frame."""
    sums = torch.cat([mels.new_zeros(*mels.shape[:2], 1), mels.cumsum(2)], 2)  # [N, M, T + 1]
    first = torch.arange(PARTS) * lengths[:, None] // PARTS  # [N, PARTS]
    last = torch.maximum(torch.arange(1, PARTS + 1) * lengths[:, None] // PARTS, first + 1)
    first, last = (x[:, None].expand(-1, mels.shape[1], -1) for x in (first, last))
    return (sums.gather(2, last) - sums.gather(2, first)) / (last - first)
