"""A Transformer over log-mel spectrograms."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from components.layers.features import Encoder, Features, length_mask
from components.layers.transformer import Transformer
from components.layers.transformer_shape import TransformerShape
from components.modalities.audio.encoders.plain import PlainAudioExtractor
from components.modalities.audio.encoders.pooling import POOLINGS
from components.modalities.audio.modality import AudioEncoderSettings, AudioSettings

STRIDES = (2, 2, 2)  # of the convolutions over time

Frames = TypeVar("Frames", int, Tensor)


class ConvolutionalAudioEncoder(Encoder):
    """Convolutions over time, each of which halves it, then a Transformer.

    The stem of Whisper (Radford et al. 2022) with one more convolution and batch normalisation,
    without which it learns several times slower on little data. Without layers of the Transformer
    the tokens are those of the stem, whose convolutions know no positions.
    """

    def __init__(self, inputs: AudioSettings, options: AudioEncoderSettings):
        super().__init__()
        self.width = options.width
        widths = [inputs.n_mels, *[options.width] * len(STRIDES)]
        self.stem = nn.Sequential()
        for channels_in, stride in zip(widths, STRIDES, strict=False):
            self.stem += nn.Sequential(
                nn.Conv1d(channels_in, options.width, 5, stride=stride, padding=2, bias=False),
                nn.BatchNorm1d(options.width),
                nn.ReLU(inplace=True),
            )
        self.transformer = None
        if options.layers:
            self.position = nn.Parameter(torch.empty(_after_stem(inputs.frames), options.width))
            nn.init.normal_(self.position, std=0.02)
            self.transformer = Transformer(
                TransformerShape(options.width, options.layers, options.heads, options.dropout)
            )
        self.pool = POOLINGS[options.pooling](options.width)
        if options.plain:
            self.plain = PlainAudioExtractor(inputs.n_mels, options.width)

    def forward(self, mels: Tensor, lengths: Tensor) -> Features:
        """[N, mels, frames] and lengths in frames [N] → features with a token per 8 frames."""
        x = self.stem(mels).transpose(1, 2)  # [N, T, D]
        mask = length_mask(_after_stem(lengths), x.shape[1])  # [N, T]
        if self.transformer is not None:
            x = self.transformer(x + self.position, mask)
        return Features(x, mask, self.pool(x, mask))


def _after_stem(frames: Frames) -> Frames:
    """Return the frames after the convolutions: each stride rounds up."""
    for stride in STRIDES:
        frames = (frames + stride - 1) // stride
    return frames
