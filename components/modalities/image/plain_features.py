"""Plain features of images: colours, and histograms of oriented gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from sklearn.preprocessing import FunctionTransformer

from components.modalities.dense_features import dense_vectorizer
from components.modalities.image.decoding import decode
from components.modalities.image.modality import ImageSettings
from components.modalities.image.square import Box, make_square

SIDE, CELL, BLOCK = 32, 4, 4  # pixels: of an image, of a cell, of a block with one colour
ORIENTATIONS = 9  # over half a turn
CHUNK = 512  # images at a time


def describe(content: bytes, inputs: ImageSettings) -> np.ndarray:
    """Return an image as a small square: uint8 [SIDE, SIDE, 3]."""
    return make_square(decode(content, SIDE).pixels, SIDE, inputs.fit, _resize)


def _resize(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """See `Resize`."""
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, box))


def vectorizer() -> Any:
    """See `PlainFeatures`."""
    return dense_vectorizer(FunctionTransformer(measurements))


def measurements(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return colours and gradients of images, [N, D]."""
    parts = []
    for first in range(0, len(images), CHUNK):
        pixels = np.stack(images[first : first + CHUNK]).astype(np.float32) / 255  # [n, S, S, 3]
        count, cells = len(pixels), SIDE // BLOCK
        colours = pixels.reshape(count, cells, BLOCK, cells, BLOCK, 3).mean((2, 4))
        parts += [np.concatenate([colours.reshape(count, -1), gradients(pixels.mean(3))], axis=1)]
    return np.concatenate(parts)


def gradients(grey: np.ndarray) -> np.ndarray:
    """Return a histogram of gradients per cell of images [n, S, S]: [n, cells · ORIENTATIONS].

    After Dalal & Triggs 2005, "Histograms of oriented gradients for human detection": square roots
    of histograms that are normalised over blocks of 3 × 3 cells.
    """
    count, cells = len(grey), SIDE // CELL
    down, right = np.gradient(grey, axis=(1, 2))
    turn = np.mod(np.arctan2(down, right) / np.pi, 1.0)  # in half turns
    orientation = np.minimum((turn * ORIENTATIONS).astype(int), ORIENTATIONS - 1)
    line = np.arange(SIDE) // CELL  # cell of each row and column
    image = np.arange(count)[:, None, None]
    cell = (image * cells + line[:, None]) * cells + line  # [n, S, S]
    size, place = np.hypot(down, right), cell * ORIENTATIONS + orientation
    sums = np.bincount(place.ravel(), size.ravel(), count * cells**2 * ORIENTATIONS)
    sums = sums.reshape(count, cells, cells, ORIENTATIONS)
    padded = np.pad(sums.sum(3), ((0, 0), (1, 1), (1, 1)))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).sum((3, 4))
    return np.sqrt(sums / (blocks[..., None] + 0.1)).reshape(count, -1)
