"""How the learning rate goes up and down, and the momentum with it."""

import math
from collections.abc import Callable
from typing import NamedTuple

MOMENTUM = 0.9  # AdamW's first beta
WARM_UP = 0.1  # share of the steps

# As torch's OneCycleLR has them.
RISE = 0.3  # share of the steps
START, END = 1 / 25, 1 / 25e4  # of the rate, in parts of the highest
HIGH, LOW = 0.95, 0.85  # momentum at the lowest and at the highest rate


class Pace(NamedTuple):
    """What a step is made with.

    Attributes:
        rate: learning rate, in parts of the highest.
        momentum: AdamW's first beta.
    """

    rate: float
    momentum: float = MOMENTUM


def cosine(progress: float, steps: int) -> Pace:
    """Linear warm-up, then half a cosine to zero (Loshchilov & Hutter 2017).

    Args:
        progress: of the run, 0 to 1.
        steps: of the whole run.
    """
    if progress < WARM_UP:
        return Pace((progress + 1e-3) / (WARM_UP + 1e-3))
    return Pace(_ease(1.0, 0.0, (progress - WARM_UP) / (1 - WARM_UP)))


def one_cycle(progress: float, steps: int) -> Pace:
    """Up by half a cosine, down to nearly zero by another; momentum the other way round.

    Smith & Topin 2018, as torch's OneCycleLR computes it. Arguments as of `cosine`.
    """
    step, top, last = progress * steps, RISE * steps - 1, steps - 1
    if step <= top:
        return Pace(_ease(START, 1.0, step / top), _ease(HIGH, LOW, step / top))
    done = (step - top) / (last - top)
    return Pace(_ease(1.0, END, done), _ease(LOW, HIGH, done))


def _ease(start: float, end: float, done: float) -> float:
    """From `start` to `end` along half a cosine; `done` 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


SCHEDULES: dict[str, Callable[[float, int], Pace]] = {"cosine": cosine, "one_cycle": one_cycle}
