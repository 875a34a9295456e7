"""Learning-rate schedules, with the momentum that goes with them."""

import math
from collections.abc import Callable
from typing import NamedTuple

MOMENTUM = 0.9  # AdamW's first beta
WARM_UP = 0.1  # fraction of the steps

# As in torch's OneCycleLR.
RISE = 0.3  # fraction of the steps
START, END = 1 / 25, 1 / 25e4  # learning rates as fractions of the peak
HIGH, LOW = 0.95, 0.85  # momentum at the lowest and at the highest learning rate


class SchedulePoint(NamedTuple):
    """Values of a schedule at one step."""

    learning_rate: float  # as a fraction of the peak
    momentum: float = MOMENTUM


def cosine(progress: float, steps: int) -> SchedulePoint:
    """Linear warm-up, then a cosine decay to zero (Loshchilov & Hutter 2017).

    `progress` of the run is from 0 to 1; `steps` are those of the whole run.
    """
    if progress < WARM_UP:
        return SchedulePoint((progress + 1e-3) / (WARM_UP + 1e-3))
    return SchedulePoint(_cosine_between(1.0, 0.0, (progress - WARM_UP) / (1 - WARM_UP)))


def one_cycle(progress: float, steps: int) -> SchedulePoint:
    """One-cycle schedule (Smith & Topin 2018) as torch's OneCycleLR computes it.

    The learning rate rises and falls along half-cosines, momentum inversely.
    """
    step, top, last = progress * steps, RISE * steps - 1, steps - 1
    if step <= top:
        rates, momenta, fraction = (START, 1.0), (HIGH, LOW), step / top
    else:
        rates, momenta, fraction = (1.0, END), (LOW, HIGH), (step - top) / (last - top)
    return SchedulePoint(_cosine_between(*rates, fraction), _cosine_between(*momenta, fraction))


def _cosine_between(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * fraction))


SCHEDULES: dict[str, Callable[[float, int], SchedulePoint]] = {
    "cosine": cosine,
    "one_cycle": one_cycle,
}
