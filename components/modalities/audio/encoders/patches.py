"""A Transformer over patches of log-mel spectrograms."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from components.layers.features import Encoder, Features, length_mask
from components.layers.transformer import Transformer
from components.layers.transformer_shape import TransformerShape
from components.modalities.audio.encoders.pooling import POOLINGS
from components.modalities.audio.modality import AudioEncoderSettings, AudioSettings

PATCH, STRIDE = 16, 10  # frames and mel bands: patches overlap by 6, as in the paper

Size = TypeVar("Size", int, Tensor)


class PatchesEncoder(Encoder):
    """The Audio Spectrogram Transformer (Gong et al. 2021), without its class token.

    The pooled features are of the patches that contain sound, by default their mean: clips of AST
    have one length, these do not.
    """

    def __init__(self, inputs: AudioSettings, options: AudioEncoderSettings):
        super().__init__()
        self.width = options.width
        self.patches = nn.Conv2d(1, options.width, PATCH, STRIDE)
        bands, times = _count(inputs.n_mels), _count(inputs.frames)
        self.position = nn.Parameter(torch.empty(times, bands, options.width))
        nn.init.normal_(self.position, std=0.02)
        self.transformer = Transformer(
            TransformerShape(options.width, options.layers, options.heads, options.dropout)
        )
        self.pool = POOLINGS[options.pooling](options.width)

    def forward(self, mels: Tensor, lengths: Tensor) -> Features:
        """[N, mels, frames] and lengths in frames [N] → features, tokens in order of time."""
        times, bands = self.position.shape[:2]
        beyond = (0, _reach(times) - mels.shape[2], 0, _reach(bands) - mels.shape[1])
        x = self.patches(pad(mels, beyond)[:, None])  # [N, D, b, t]
        x = x.permute(0, 3, 2, 1) + self.position  # [N, t, b, D]
        x = x.flatten(1, 2)  # [N, T, D]
        mask = length_mask(_count(lengths) * bands, x.shape[1])  # [N, T]
        x = self.transformer(x, mask)
        return Features(x, mask, self.pool(x, mask))


def _count(size: Size) -> Size:
    """Return how many patches cover frames or bands, at least one; the last may exceed them."""
    return (size - PATCH + STRIDE - 1) // STRIDE * (size > PATCH) + 1


def _reach(count: int) -> int:
    """Return how many frames or bands patches cover."""
    return (count - 1) * STRIDE + PATCH
