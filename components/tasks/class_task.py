"""Contract of tasks over classes, which can be balanced: rare classes count as much as others."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from components.data.assets import AssetTensors
from components.tasks.settings import HeadTaskSettings, balance_of
from components.tasks.task import Task

Loss = Callable[..., Tensor]  # as `Task.loss`


class ClassTask(Task):
    """A task with an output per class."""

    @abstractmethod
    def soft(self) -> "ClassTask":
        """Return the task with soft targets: float [B, classes], how often a sample is of each.

        Its loss is the mean of the losses of a sample's labels, and its metric asks for the most
        frequent of them. NaN is unknown.
        """

    @abstractmethod
    def members(self, targets: Tensor) -> Tensor:
        """Return of which classes each sample is, bool [B, classes]; of none where unknown."""

    @abstractmethod
    def class_weights(self, targets: Tensor) -> Tensor:
        """Return what `weighted_loss` takes, so that every class of some targets counts the same.

        The mean weight of these targets is 1.
        """

    @staticmethod
    @abstractmethod
    def weighted_loss(
        logits: Any, targets: Tensor, smoothing: float = 0.0, *, weights: Tensor
    ) -> Tensor:
        """Return the mean weighted loss of the samples whose target is known, else as `loss`."""


def soft_targets(task: ClassTask, votes: pd.DataFrame, assets: AssetTensors) -> Tensor:
    """Return the targets of `task.soft()` by asset, float [N, classes], from `label_votes`."""
    targets = task.targets(votes["label"])
    known = task.known(targets)
    rows = assets.rows(votes["asset"])[known]
    counts = torch.tensor(votes["votes"].to_numpy(), dtype=torch.float32)[known, None]  # [n, 1]
    members = task.members(targets[known]) * counts  # [n, classes]
    sums, totals = (
        x.new_zeros(len(assets.ids), x.shape[1]).index_add(0, rows, x) for x in (members, counts)
    )
    return sums / totals  # NaN where there is no vote


def balanced_loss(task: Task, settings: HeadTaskSettings, targets: Tensor) -> Loss:
    """Return the loss of a task, with the weights of its training targets if settings say so."""
    if isinstance(task, ClassTask) and balance_of(settings) == "weights":
        return partial(task.weighted_loss, weights=task.class_weights(targets))
    return task.loss


def sampled_classes(task: Task, settings: HeadTaskSettings, targets: Tensor) -> Tensor | None:
    """Return the classes of samples that batches draw equally often, as `members`; None if none."""
    if isinstance(task, ClassTask) and balance_of(settings) == "sampling":
        return task.members(targets)
    return None
