"""A modality that is not there at all."""

import numpy as np

from components.modalities.corruption import Corruption
from components.modalities.registry import MODALITIES


def missing(content: bytes, share: float, chance: np.random.Generator) -> bytes | None:
    """A share of the assets has gone."""
    return None if chance.random() < share else content


CORRUPTIONS = {
    f"missing_{m}": Corruption(m, missing, (0.2, 0.4, 0.6, 0.8, 1.0)) for m in MODALITIES
}
