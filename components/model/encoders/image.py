"""A convolutional network for small images."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from components.config.settings import EncoderSettings, ImageSettings
from components.model.base.features import Features


def _convolution(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """A 3×3 convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ImageEncoder(nn.Module):
    """Four stages, each halving the image: a token for every 16 × 16 pixels.

    Each has two convolutions, but the first one: at full size a second one costs a third of the
    time and gained nothing.
    """

    def __init__(self, inputs: ImageSettings, options: EncoderSettings):
        super().__init__()
        self.width = options.width
        widths = [3, options.width // 4, options.width // 2, options.width, options.width]
        self.stages = nn.Sequential(_convolution(3, widths[1], 2))
        for channels_in, channels_out in pairwise(widths[1:]):
            self.stages += nn.Sequential(
                _convolution(channels_in, channels_out, 2),
                _convolution(channels_out, channels_out, 1),
            )
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with (H/16)·(W/16) tokens."""
        x = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        x = self.stages(x)  # [N, D, H/16, W/16]
        tokens = self.dropout(x.flatten(2).transpose(1, 2))  # [N, T, D]
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, tokens.mean(1))
