"""How the learning rate goes up and down."""

import math

WARM_UP = 0.1  # share of the steps


def cosine(progress: float) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov & Hutter 2017); `progress` 0 to 1."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
