"""Whether an image file can be used."""

from components.common.errors import Problem
from components.modalities.facts import Facts
from components.modalities.image.decoding import ImageError, decode


def inspect(content: bytes) -> Facts | Problem:
    """Decode an image: `width` and `height` in pixels, upright, `format` and `mode`, or what is
    wrong with it."""
    try:
        picture = decode(content, least=1)  # as small as can be: every byte is read all the same
    except ImageError as error:
        return Problem(error.reason, str(error))
    return {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "mode": picture.mode,
    }
