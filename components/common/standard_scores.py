"""Standardised numbers: how many standard deviations they lie from the mean."""

from typing import Any

FARTHEST = 5.0  # from which on numbers count alike


def clipped(standardised: Any) -> Any:
    """Return standardised numbers, of NumPy or torch, with outliers as far as `FARTHEST`."""
    return standardised.clip(-FARTHEST, FARTHEST)
