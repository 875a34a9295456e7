"""Subsets of modalities."""

from collections.abc import Iterator, Sequence
from itertools import combinations


def subsets(modalities: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every subset but the empty one: single modalities first, all of them last."""
    for size in range(1, len(modalities) + 1):
        yield from combinations(modalities, size)
