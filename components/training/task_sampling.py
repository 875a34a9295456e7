"""Task sampling: which tasks each step trains."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.training.sampler_settings import (
    BySizeSettings,
    LaggingSettings,
    TaskSamplerSettings,
)

UNIFORM_FRACTION = 0.1  # of the steps, dealt to all tasks alike, so that none is forgotten
RECENT_WEIGHT = 0.5  # of the latest validation in the running mean of a task's progress
MIN_PROGRESS = 1e-3  # lower progress counts as this: its logarithm would be infinite


class TaskSampler(nn.Module):
    """Chooses which tasks each step of an epoch trains.

    `counts` are by task the training samples whose label is known.
    """

    # float [tasks], of each to be trained by a step; None if every step trains all tasks
    probabilities: Tensor | None

    def __init__(self, counts: Mapping[str, int], options: TaskSamplerSettings):
        super().__init__()
        self.tasks = tuple(counts)  # in the order of everything with one entry per task
        self.counts = torch.tensor([float(count) for count in counts.values()])
        self.register_buffer("probabilities", None)

    def learn(self, progress: Mapping[str, float]) -> None:
        """Take in by task the fraction of its goal that validation has measured after an epoch."""

    def draw(self, steps: int) -> list[str] | None:
        """Return the one task of each step of an epoch; None if each trains all tasks."""
        if self.probabilities is None:
            return None
        places = torch.multinomial(self.probabilities.cpu(), steps, replacement=True)
        return [self.tasks[place] for place in places.tolist()]

    def _check_counts(self) -> None:
        """Raise `InputError` if no task has a label, so that there is none to draw."""
        if not self.counts.any():
            raise InputError(
                "no training sample has a label that its modalities can decide, so no step can "
                "train a task. See the data report, and sufficient_modalities of the tasks"
            )


class AllTasks(TaskSampler):
    """Every step trains every task."""


class BySize(TaskSampler):
    """A step trains one task, drawn in proportion to nᵢ^(1/T), nᵢ the number of its labels.

    Temperature sampling, as in Arivazhagan et al. 2019 (Massively multilingual neural machine
    translation in the wild) and Raffel et al. 2020 (T5, temperature-scaled mixing).
    """

    def __init__(self, counts: Mapping[str, int], options: BySizeSettings):
        super().__init__(counts, options)
        self._check_counts()
        scaled = self.counts ** (1 / options.temperature)
        self.probabilities = scaled / scaled.sum()


class Lagging(TaskSampler):
    """A step trains one task, drawn by how far validation says that it is from its goal.

    The difficulty is that of Guo et al. 2018 (Dynamic task prioritization for multitask learning):
    −(1 − κ̄)^γ log κ̄, a focal loss of κ̄, the running mean of the fraction of its goal that a task
    has reached. There it is a factor of the loss, here the probability of a step, as in the
    explicit schedules of Jean et al. 2019 (Adaptive scheduling for multi-task learning): a task
    that has reached its goal leaves its steps to the others, and gets them back if it falls behind.
    A task without labels to validate has the mean difficulty of the others.
    """

    progress: Tensor
    probabilities: Tensor

    def __init__(self, counts: Mapping[str, int], options: LaggingSettings):
        super().__init__(counts, options)
        self._check_counts()
        self.focus = options.focus
        self.register_buffer("progress", torch.full((len(self.tasks),), torch.nan))  # κ̄
        self.probabilities = self._mixed(torch.zeros(len(self.tasks)))

    def learn(self, progress: Mapping[str, float]) -> None:
        for task, now in progress.items():
            place = self.tasks.index(task)
            before = float(self.progress[place])
            mean = RECENT_WEIGHT * now + (1 - RECENT_WEIGHT) * before
            self.progress[place] = now if math.isnan(before) else mean
        if self.progress.isnan().all():
            return
        reached = self.progress.cpu().clamp(min=MIN_PROGRESS)
        difficulty = -((1 - reached) ** self.focus) * reached.log()
        difficulty = difficulty.nan_to_num(float(difficulty.nanmean()))
        self.probabilities.copy_(self._mixed(difficulty))

    def _mixed(self, difficulty: Tensor) -> Tensor:
        """Return probabilities from difficulties [tasks]; a task without training labels gets 0."""
        labelled = (self.counts > 0).float()
        uniform, difficulty = labelled / labelled.sum(), difficulty * labelled
        if difficulty.sum() == 0:
            return uniform
        by_difficulty = difficulty / difficulty.sum()
        return (1 - UNIFORM_FRACTION) * by_difficulty + UNIFORM_FRACTION * uniform


SAMPLERS: dict[str, type[TaskSampler]] = {"all": AllTasks, "size": BySize, "lagging": Lagging}
