"""Corruptions of vectors."""

import numpy as np

from components.modalities.corruption import Corruption
from components.modalities.vector.decoding import decode


def jitter(content: bytes, deviation: float, rng: np.random.Generator) -> bytes:
    """Add normal noise."""
    numbers = decode(content)
    return (numbers + deviation * rng.standard_normal(len(numbers))).astype("<f4").tobytes()


CORRUPTIONS = {"jitter": Corruption("vector", jitter, (0.5, 1.0, 2.0, 4.0, 8.0), is_quick=True)}
