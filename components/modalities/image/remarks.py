"""What of images looks like a mistake."""

from collections.abc import Sequence

from components.modalities.image.decoding import decode
from components.modalities.image.inspection import MIN_SIDE


def remarks(contents: Sequence[bytes]) -> list[str]:
    """See `Remarks`: how many images show one colour only."""
    pictures = (decode(content, MIN_SIDE).pixels for content in contents)
    empty = sum(not (pixels != pixels[0, 0]).any() for pixels in pictures)
    if not empty:
        return []
    return [
        f"{empty} of {len(contents)} images that were looked at show one colour only; are they the "
        "right files?"
    ]
