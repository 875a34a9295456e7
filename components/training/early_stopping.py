"""Early stopping: training ends when a metric of the validation split no longer improves."""

import math
from collections.abc import Iterable, Sequence

from components.common.errors import InputError, nearest
from components.training.run import Validation
from components.training.settings import EarlyStoppingSettings

Row = tuple[int, str, str, float]  # of the history: epoch, series, task, value


class EarlyStopping:
    """Decides when training ends, and the weights of which epoch are kept.

    A resumed run restores `higher_is_better`, which `watch` finds out.
    """

    def __init__(self, settings: EarlyStoppingSettings):
        self._metric, self._patience = settings.metric, settings.patience
        self.higher_is_better = True

    def watch(self, validation: Validation, label: str) -> None:
        """Find the metric among those that a run validates; `InputError` if it is not there."""
        known = {f"{m.name}/{task}": m for m, values in validation.items() for task in values}
        if self._metric not in known:
            raise InputError(
                f"{label}: early_stopping.metric: found {self._metric!r}, which is not validated. "
                f"{nearest(self._metric, list(known))}"
            )
        self.higher_is_better = known[self._metric].higher_is_better

    def best_epoch(self, history: Iterable[Row]) -> int:
        """Return the epoch in which the metric was best, the first of equals."""
        sign = 1 if self.higher_is_better else -1
        values = {
            epoch: -math.inf if math.isnan(value) else sign * value
            for epoch, series, task, value in history
            if f"{series}/{task}" == self._metric
        }
        return max(values, key=values.__getitem__)

    def is_over(self, history: Sequence[Row]) -> bool:
        """Return whether the metric has not improved for `patience` epochs."""
        return bool(history) and history[-1][0] - self.best_epoch(history) >= self._patience
