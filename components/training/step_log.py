"""What is logged of every step, without a step waiting for it."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.data.tables import STEPS


class StepLog:
    """A value a step, series and task.

    Tensors are read when their values are asked for, all at once: on a GPU reading one waits for
    all the work before it.
    """

    def __init__(self):
        self._names: list[tuple[str, str]] = []  # series and task
        self._steps, self._places = array("q"), array("q")  # of each value; place among the names
        self._values = array("d")
        self._unread: dict[int, Tensor] = {}  # by place among the values

    def add(self, step: int, values: Mapping[str, Mapping[str, float | Tensor]]) -> None:
        """Log series → task → value of a step; steps come in order."""
        for series, tasks in values.items():
            for task, value in tasks.items():
                name = (series, task)
                if name not in self._names:
                    self._names.append(name)
                if isinstance(value, Tensor):  # copied: a weight that is logged will change
                    copied = value.detach().to(torch.float64, copy=True)
                    self._unread[len(self._values)] = copied
                    value = math.nan
                self._steps.append(step)
                self._places.append(self._names.index(name))
                self._values.append(value)

    def means(self, series: str, first: int) -> dict[str, float]:
        """By task the mean of a series over those steps from `first` on that have a value."""
        self._read()
        start = bisect_left(self._steps, first)
        found: dict[str, list[float]] = {}
        for place, value in zip(self._places[start:], self._values[start:], strict=True):
            if self._names[place][0] == series:
                found.setdefault(self._names[place][1], []).append(value)
        sums = {task: np.add.accumulate(np.float32(values))[-1] for task, values in found.items()}
        return {task: float(total) / len(found[task]) for task, total in sums.items()}

    def table(self) -> pd.DataFrame:
        """A table as `STEPS`."""
        self._read()
        names = [self._names[place] for place in self._places]
        series, tasks = [name[0] for name in names], [name[1] for name in names]
        columns = (list(self._steps), series, tasks, list(self._values))
        return pd.DataFrame(dict(zip(STEPS.columns, columns, strict=True)))

    def state(self) -> dict[str, Tensor]:
        """The numbers that `restore` needs."""
        self._read()
        numbers = {"steps": self._steps, "places": self._places, "values": self._values}
        return {name: torch.tensor(np.asarray(values)) for name, values in numbers.items()}

    @property
    def names(self) -> list[tuple[str, str]]:
        """Series and tasks, in the order in which they came."""
        return self._names

    def restore(self, numbers: Mapping[str, Tensor], names: list) -> None:
        """Go on from what `state` and `names` gave."""
        self._names = [(series, task) for series, task in names]
        self._steps = array("q", numbers["steps"].tolist())
        self._places = array("q", numbers["places"].tolist())
        self._values = array("d", numbers["values"].tolist())

    def _read(self) -> None:
        if self._unread:
            values = torch.stack(list(self._unread.values())).tolist()
            for place, value in zip(self._unread, values, strict=True):
                self._values[place] = value
            self._unread = {}
