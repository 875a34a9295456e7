"""A Transformer over patches of log-mel spectrograms."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from components.layers.features import Features, length_mask, masked_mean
from components.layers.transformer import Transformer
from components.modalities.settings import AudioSettings, TransformerEncoderSettings

PATCH, STRIDE = 16, 10  # frames and mel bands: patches overlap by 6, as in the paper


class PatchesEncoder(nn.Module):
    """The Audio Spectrogram Transformer (Gong et al. 2021), without its class token.

    The pooled features are the mean over the patches in which there is sound: AST's clips have
    one length, these do not.
    """

    def __init__(self, inputs: AudioSettings, options: TransformerEncoderSettings):
        super().__init__()
        self.width = options.width
        self.patches = nn.Conv2d(1, options.width, PATCH, STRIDE)
        bands, times = _count(inputs.mels), _count(inputs.frames)
        self.position = nn.Parameter(torch.empty(times, bands, options.width))
        nn.init.normal_(self.position, std=0.02)
        self.transformer = Transformer(
            options.width, options.layers, options.heads, options.dropout
        )

    def forward(self, mels: Tensor, lengths: Tensor) -> Features:
        """[N, mels, frames] and lengths in frames [N] → features, the tokens in order of time."""
        times, bands = self.position.shape[:2]
        beyond = (0, _reach(times) - mels.shape[2], 0, _reach(bands) - mels.shape[1])
        x = self.patches(pad(mels, beyond)[:, None])  # [N, D, b, t]
        x = x.permute(0, 3, 2, 1) + self.position  # [N, t, b, D]
        x = x.flatten(1, 2)  # [N, T, D]
        mask = length_mask(_count(lengths) * bands, x.shape[1])  # [N, T]
        x = self.transformer(x, mask)
        return Features(x, mask, masked_mean(x, mask))


def _count(size):
    """Patches that cover so many frames or bands, at least one; the last may reach beyond them."""
    return (size - PATCH + STRIDE - 1) // STRIDE * (size > PATCH) + 1


def _reach(count: int) -> int:
    """Frames or bands that so many patches cover."""
    return (count - 1) * STRIDE + PATCH
