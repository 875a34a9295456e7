"""Makes images square: the same square for training, inference and baselines."""

from collections.abc import Callable

import numpy as np

from components.modalities.image.modality import Fit

GREY = 127  # of the borders

Box = tuple[float, float, float, float]  # left, top, right and bottom, in pixels of an image
Resize = Callable[[np.ndarray, Box, tuple[int, int]], np.ndarray]  # pixels in a box, to a size


def make_square(pixels: np.ndarray, size: int, fit: Fit, resize: Resize) -> np.ndarray:
    """Return an image as uint8 [size, size, 3]; one of that size is returned as it is.

    Args:
        pixels: uint8 [h, w, 3].
        size: in pixels.
        fit: see `ImageSettings`.
        resize: gives what lies in a box of an image another width and height.
    """
    height, width, _ = pixels.shape
    if height == width == size:
        return pixels
    if fit == "pad":
        return _padded(pixels, size, resize)
    side = min(width, height)
    across, down = (side, side) if fit == "crop" else (width, height)
    left, top = (width - across) / 2, (height - down) / 2
    return resize(pixels, (left, top, left + across, top + down), (size, size))


def _padded(pixels: np.ndarray, size: int, resize: Resize) -> np.ndarray:
    height, width, _ = pixels.shape
    scale = size / max(height, width)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size - across) // 2, (size - down) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    whole = resize(pixels, (0.0, 0.0, width, height), (across, down))
    square[top : top + down, left : left + across] = whole
    return square
