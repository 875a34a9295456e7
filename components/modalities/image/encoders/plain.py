"""Features of images that need no training: colours, and histograms of oriented gradients."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from components.layers.plain import StandardisedExtractor

SIDE, CELL, BLOCK = 32, 4, 4  # pixels: of an image, of a cell, of a block with one colour
ORIENTATIONS = 9  # over half a turn
COLOURS = (SIDE // BLOCK) ** 2 * 3
WIDTH = COLOURS + (SIDE // CELL) ** 2 * ORIENTATIONS


class PlainImageExtractor(StandardisedExtractor):
    """Colours and gradients of images."""

    INPUTS = frozenset({"pixels"})

    def __init__(self, mapped: int):
        super().__init__(WIDTH, mapped)

    def describe(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return describe(inputs["pixels"])


def describe(pixels: Tensor) -> Tensor:
    """Return colours and gradients of images, uint8 [N, 3, H, W] → [N, WIDTH].

    They are those of the baseline: see `plain_features`.
    """
    x = F.adaptive_avg_pool2d(pixels.float() / 255, SIDE)  # [N, 3, S, S]
    down, right = torch.gradient(x.mean(1), dim=(1, 2))  # [N, S, S]
    turn = torch.atan2(down, right) / math.pi % 1.0  # in half turns
    place = (turn * ORIENTATIONS).long().clamp(max=ORIENTATIONS - 1)
    size = (down * down + right * right) ** 0.5
    sums = F.one_hot(place, ORIENTATIONS) * size[..., None]  # [N, S, S, O]
    sums = F.avg_pool2d(sums.permute(0, 3, 1, 2), CELL) * CELL**2  # [N, O, cells, cells]
    blocks = F.avg_pool2d(sums.sum(1, keepdim=True), 3, stride=1, padding=1) * 9
    gradients = (sums / (blocks + 0.1)) ** 0.5
    return torch.cat([F.avg_pool2d(x, BLOCK).flatten(1), gradients.flatten(1)], 1)
