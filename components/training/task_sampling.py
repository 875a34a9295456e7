"""Which tasks a step trains."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.tasks.settings import TaskSettings
from components.tasks.task import Kind
from components.training.run import Measured
from components.training.settings import TrainSettings

RESERVE = 0.1  # share of the steps that all tasks get alike, so that none is forgotten
RECENT = 0.5  # weight of the newest validation in the running mean of a task's progress
LEAST = 1e-3  # progress below it counts as this: its logarithm would be infinite


class Choice(nn.Module):
    """Which tasks each step of an epoch trains.

    Attributes:
        tasks: in the order of everything that has one entry a task.
        shares: float [tasks], the chance of each to be what a step trains; None if every step
            trains all of them.
    """

    shares: Tensor | None

    def __init__(
        self,
        tasks: Mapping[str, TaskSettings],
        kinds: Mapping[str, Kind],
        counts: Mapping[str, int],  # of the training samples whose label is known
        options: TrainSettings,
    ):
        super().__init__()
        self.tasks = tuple(tasks)
        self.counts = torch.tensor([float(counts[task]) for task in tasks])
        self.register_buffer("shares", None)

    def learn(self, measured: Measured) -> None:
        """Take in what validation has measured after an epoch."""

    def draw(self, steps: int) -> list[str] | None:
        """The one task that each step of an epoch trains; None if each trains all."""
        if self.shares is None:
            return None
        places = torch.multinomial(self.shares.cpu(), steps, replacement=True)
        return [self.tasks[place] for place in places.tolist()]


class All(Choice):
    """Every step trains every task."""


class BySize(Choice):
    """A step trains one task, drawn in proportion to nᵢ^(1/T), nᵢ the number of its labels.

    Sampling by temperature, as in Arivazhagan et al. 2019 (Massively multilingual neural machine
    translation in the wild) and Raffel et al. 2020 (T5, temperature-scaled mixing).

    T = 1 draws labels, whatever their task; the larger T, the more alike tasks of any size are.
    """

    def __init__(self, tasks, kinds, counts, options):
        """See `Choice`."""
        super().__init__(tasks, kinds, counts, options)
        _check(self.counts)
        scaled = self.counts ** (1 / options.size_temperature)
        self.shares = scaled / scaled.sum()


class Lagging(Choice):
    """A step trains one task, drawn by how far validation says that it is from its goal.

    Difficulty is that of Guo et al. 2018 (Dynamic task prioritization for multitask learning):
    −(1 − κ̄)^γ log κ̄, a focal loss of κ̄, which is the running mean of the task's quality as a share
    of its goal (`tasks.*.goal`; without one, perfection). There it is a factor of the loss, here
    the chance of a step, as in the explicit schedules of Jean et al. 2019 (Adaptive scheduling for
    multi-task learning): a task that is done gives its steps to the others, and one that falls back
    gets them again. A task without labels to validate has the mean difficulty of the others.
    """

    def __init__(self, tasks, kinds, counts, options):
        """See `Choice`."""
        super().__init__(tasks, kinds, counts, options)
        _check(self.counts)
        self.kinds, self.focus = dict(kinds), options.lagging_focus
        self.goals = {name: task.goal for name, task in tasks.items()}
        unknown = torch.full((len(self.tasks),), torch.nan)
        self.register_buffer("progress", unknown)  # κ̄
        self.shares = self._mixed(torch.zeros(len(self.tasks)))

    def learn(self, measured: Measured) -> None:
        """See `Choice`."""
        for place, task in enumerate(self.tasks):
            series = f"{self.kinds[task].QUALITY} (all)"
            if task in measured.get(series, ()):
                now = self.kinds[task].progress(measured[series][task], self.goals[task])
                before = float(self.progress[place])
                mean = now if math.isnan(before) else RECENT * now + (1 - RECENT) * before
                self.progress[place] = mean
        if self.progress.isnan().all():
            return
        reached = self.progress.cpu().clamp(min=LEAST)
        difficulty = -((1 - reached) ** self.focus) * reached.log()
        self.shares.copy_(self._mixed(difficulty.nan_to_num(float(difficulty.nanmean()))))

    def _mixed(self, difficulty: Tensor) -> Tensor:
        """Shares from difficulties [tasks]; a task without training labels has none."""
        taught = (self.counts > 0).float()
        alike, difficulty = taught / taught.sum(), difficulty * taught
        if difficulty.sum() == 0:
            return alike
        return (1 - RESERVE) * difficulty / difficulty.sum() + RESERVE * alike


def _check(counts: Tensor) -> None:
    """Refuse counts of labels among which no task can be drawn."""
    if not counts.any():
        raise InputError(
            "no training sample has a label that its modalities can decide, so no step can train "
            "a task. See the data report, and tasks.*.decided_by in params.yaml"
        )


CHOICES: dict[str, type[Choice]] = {"all": All, "size": BySize, "lagging": Lagging}
