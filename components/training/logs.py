"""Logs of training: the history per epoch, and the log per step."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.training.tables import STEPS


class StepLog:
    """One value per step, series and task.

    Tensors are read together when their values are needed: on a GPU, reading one waits for all
    work before it.
    """

    def __init__(self):
        self.names: list[tuple[str, str]] = []  # series and task, in order of appearance
        self._steps, self._places = array("q"), array("q")  # of each value; place among the names
        self._values = array("d")
        self._unread: dict[int, Tensor] = {}  # by place among the values

    def add(self, step: int, values: Mapping[str, Mapping[str, float | Tensor]]) -> None:
        """Log series → task → value of a step, in the order of steps."""
        for series, tasks in values.items():
            for task, value in tasks.items():
                if (series, task) not in self.names:
                    self.names.append((series, task))
                if isinstance(value, Tensor):  # copied, as a logged weight changes
                    copied = value.detach().to(torch.float64, copy=True)
                    self._unread[len(self._values)] = copied
                    value = math.nan
                self._steps.append(step)
                self._places.append(self.names.index((series, task)))
                self._values.append(value)

    def means(self, series: str, first: int) -> dict[str, float]:
        """Return by task the mean of a series over the steps from `first` on that have a value."""
        self._read()
        start = bisect_left(self._steps, first)
        found: dict[str, list[float]] = {}
        for place, value in zip(self._places[start:], self._values[start:], strict=True):
            if self.names[place][0] == series:
                found.setdefault(self.names[place][1], []).append(value)
        arrays = {task: np.asarray(values, np.float32) for task, values in found.items()}
        return {task: float(np.add.accumulate(a)[-1]) / len(a) for task, a in arrays.items()}

    def table(self) -> pd.DataFrame:
        """Return the log as a table as `STEPS`."""
        self._read()
        names = [self.names[place] for place in self._places]
        series, tasks = [name[0] for name in names], [name[1] for name in names]
        columns = (list(self._steps), series, tasks, list(self._values))
        return pd.DataFrame(dict(zip(STEPS.columns, columns, strict=True)))

    def state(self) -> dict[str, Tensor]:
        """Return the numbers that `restore` needs."""
        self._read()
        numbers = {"steps": self._steps, "places": self._places, "values": self._values}
        return {name: torch.tensor(np.asarray(values)) for name, values in numbers.items()}

    def restore(self, numbers: Mapping[str, Tensor], names: list) -> None:
        """Continue from `state` and `names`."""
        self.names = [(series, task) for series, task in names]
        self._steps = array("q", numbers["steps"].tolist())
        self._places = array("q", numbers["places"].tolist())
        self._values = array("d", numbers["values"].tolist())

    def _read(self) -> None:
        if self._unread:
            values = torch.stack(list(self._unread.values())).tolist()
            for place, value in zip(self._unread, values, strict=True):
                self._values[place] = value
            self._unread = {}
