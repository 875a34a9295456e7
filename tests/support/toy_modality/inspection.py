"""Checks vectors."""

from components.common.errors import Problem
from components.modalities.modality import Facts, Preview, UnusableAsset
from components.modalities.vector.decoding import decode


def inspect(content: bytes) -> Facts | Problem:
    """Return how many `numbers` a vector has, or why it cannot be used."""
    try:
        return {"numbers": len(decode(content))}
    except UnusableAsset as error:
        return error.problem


def preview(content: bytes) -> Preview:
    """Return the first numbers."""
    return Preview(text=", ".join(f"{number:.2f}" for number in decode(content)[:4]))
