"""A convolutional network for small images."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from components.layers.features import Encoder, Features
from components.modalities.image.encoders.plain import PlainImageExtractor
from components.modalities.image.modality import ImageEncoderSettings


def _stage(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two 3×3 convolutions with batch normalisation; the first halves height and width."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ConvolutionalImageEncoder(Encoder):
    """Four stages, each of which halves the image: one token per 16 × 16 pixels.

    The pooled features are the maximum over the tokens: a small object fills one token only, and
    would be faint in their mean.
    """

    def __init__(self, options: ImageEncoderSettings):
        super().__init__()
        self.width = options.width
        widths = [3, options.width // 4, options.width // 2, options.width, options.width]
        self.stages = nn.Sequential(
            *(_stage(channels_in, channels_out) for channels_in, channels_out in pairwise(widths))
        )
        self.dropout = nn.Dropout(options.dropout)
        if options.plain:
            self.plain = PlainImageExtractor(options.width)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with (H/16)·(W/16) tokens."""
        x = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        x = self.stages(x)  # [N, D, H/16, W/16]
        tokens = self.dropout(x.flatten(2).transpose(1, 2))  # [N, T, D]
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, tokens.amax(1))
