"""Decodes files of float32 numbers, little-endian."""

import numpy as np

from components.modalities.modality import UnusableAsset


def decode(content: bytes) -> np.ndarray:
    """Return the numbers of a file, float32 [n].

    Raises:
        UnusableAsset: it is empty, cut off, or holds a number that is not finite.
    """
    if not content or len(content) % 4:
        detail = f"the vector has {len(content)} bytes, expected a multiple of 4"
        raise UnusableAsset("vector_malformed", detail)
    numbers = np.frombuffer(content, "<f4")
    if not np.isfinite(numbers).all():
        raise UnusableAsset("vector_not_finite", "a number is infinite or not a number")
    return numbers
