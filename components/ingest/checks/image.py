"""Whether an image file can be used."""

import io

from PIL import Image

from components.ingest.checks.problem import Facts, Problem


def inspect(content: bytes) -> Facts | Problem:
    """Decode an image: `width` and `height` in pixels, or what is wrong with it."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return {"width": image.width, "height": image.height}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Problem("image_undecodable", f"the image cannot be decoded: {error}")
