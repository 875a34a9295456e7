"""Checks image files."""

import io

import numpy as np
from PIL import Image

from components.common.errors import Problem
from components.modalities.image.decoding import decode
from components.modalities.modality import FINGERPRINT, Facts, Preview, UnusableAsset

THUMBNAIL = (128, 128)  # pixels at most
GRID = (8, 8)  # cells of a fingerprint
MIN_SIDE = 32  # pixels from which a fingerprint is made; every byte is read all the same


def inspect(content: bytes) -> Facts | Problem:
    """Return `width` and `height` in pixels, upright, `format`, `mode` and a fingerprint.

    Or the problem.
    """
    try:
        picture = decode(content, MIN_SIDE)
    except UnusableAsset as error:
        return error.problem
    facts = {key: getattr(picture, key) for key in ("width", "height", "format", "mode")}
    return facts | {FINGERPRINT: fingerprint(picture.pixels)}


def fingerprint(pixels: np.ndarray) -> bytes:
    """Return the mean colours of 8 × 8 cells, which another format or size hardly changes.

    Args:
        pixels: uint8 [h, w, 3], RGB.
    """
    return Image.fromarray(pixels).resize(GRID, Image.Resampling.BOX).tobytes()


def preview(content: bytes) -> Preview:
    """Return a thumbnail."""
    small = Image.fromarray(decode(content, max(THUMBNAIL)).pixels)
    small.thumbnail(THUMBNAIL)
    file = io.BytesIO()
    small.save(file, "PNG")
    return Preview(png=file.getvalue())
