"""Training ends when a metric of the validation split no longer improves."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from components.common.errors import InputError, nearest

Row = tuple[int, str, str, float]  # of the history: epoch, series, task, value

SMALLER_IS_BETTER = {"absolute_error"}  # first word of a series; of all others more is better


@dataclass(frozen=True)
class Watch:
    """The metric that decides when training ends, and which epoch's weights are kept.

    Attributes:
        metric: series/task, as `accuracy (all)/answer`.
        patience: epochs without improvement after which training ends.
    """

    metric: str
    patience: int

    def check(self, measured: Iterable[str]) -> None:
        """See that the metric is among those that are measured.

        Raises:
            InputError: it is not.
        """
        measured = list(measured)
        if self.metric not in measured:
            raise InputError(
                f"train.early_stopping.metric: found {self.metric!r}, which is not measured. "
                f"{nearest(self.metric, measured)}"
            )

    def best(self, history: Iterable[Row]) -> int:
        """The epoch in which the metric was best, the first of equals."""
        sign = -1 if self.metric.split()[0] in SMALLER_IS_BETTER else 1
        values = {
            epoch: -math.inf if math.isnan(value) else sign * value
            for epoch, series, task, value in history
            if name(series, task) == self.metric
        }
        return max(values, key=values.__getitem__)

    def over(self, history: list[Row]) -> bool:
        """Whether the metric has not improved for `patience` epochs."""
        return bool(history) and history[-1][0] - self.best(history) >= self.patience


def name(series: str, task: str) -> str:
    """The name of a metric, wherever one is shown or asked for."""
    return f"{series}/{task}"
