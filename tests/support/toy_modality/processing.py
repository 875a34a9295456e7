"""Converts vectors into tensors of one length."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.modalities.modality import Preparation
from components.modalities.vector.decoding import decode


def prepare(preparation: Preparation) -> dict[str, Any]:
    """See `Processing`: the length."""
    return {"length": preparation.inputs.length}


def build(state: Mapping[str, Any]) -> "VectorProcessor":
    """See `Processing`."""
    return VectorProcessor(state["length"])


def export(state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """See `Processing`: settings alone make the processor."""
    return {}


class VectorProcessor:
    """Decodes vectors, and cuts or pads them."""

    def __init__(self, length: int):
        self.length = length

    def __call__(self, contents: Iterable[bytes]) -> dict[str, np.ndarray]:
        """Return `values`, float32 [N, L].

        Raises:
            UnusableAsset: a file cannot be used.
        """
        vectors = [decode(content)[: self.length] for content in contents]
        values = np.zeros((len(vectors), self.length), np.float32)  # [N, L]
        for row, vector in zip(values, vectors, strict=True):
            row[: len(vector)] = vector
        return {"values": values}
