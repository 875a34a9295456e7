"""Checks image files."""

import io

from PIL import Image

from components.common.errors import Problem
from components.modalities.image.decoding import decode
from components.modalities.modality import Facts, Preview, UnusableAsset

THUMBNAIL = (128, 128)  # pixels at most


def inspect(content: bytes) -> Facts | Problem:
    """Return `width` and `height` in pixels, upright, `format` and `mode`, or the problem."""
    try:
        picture = decode(content, min_side=1)  # as small as can be; every byte is read all the same
    except UnusableAsset as error:
        return error.problem
    return {key: getattr(picture, key) for key in ("width", "height", "format", "mode")}


def preview(content: bytes) -> Preview:
    """Return a thumbnail."""
    small = Image.fromarray(decode(content, max(THUMBNAIL)).pixels)
    small.thumbnail(THUMBNAIL)
    file = io.BytesIO()
    small.save(file, "PNG")
    return Preview(png=file.getvalue())
