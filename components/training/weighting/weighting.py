"""What every way to weigh losses has."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.tasks.settings import TaskSettings
from components.tasks.task import Kind
from components.training import distributed as parallel
from components.training.settings import TrainSettings

Losses = Mapping[str, Tensor]  # by task its mean loss, a scalar; only tasks that the step trains

RATE = 0.025  # by which a way's own numbers descend …
STEEPEST = 1.0  # … slopes up to here: a single odd batch must not undo what many have taught


class Weighting(nn.Module):
    """How the losses of a step's tasks become the one number that is minimised.

    A way's own weight of a task is multiplied by the one that the user gave it (`tasks.*.weight`),
    its prior. What a way learns is in buffers and changes in `update` alone, by plain descent at a
    rate of its own: no schedule, no weight decay, no moments, and nothing changes for a task that
    the step has no loss of.

    Attributes:
        tasks: in the order of everything that has one entry a task.
        prior: float [tasks].
        weights: float [tasks], what each loss is multiplied by now, beside its prior.
    """

    weights: Tensor

    def __init__(
        self,
        tasks: Mapping[str, TaskSettings],
        kinds: Mapping[str, Kind],
        options: TrainSettings,
    ):
        super().__init__()
        self.tasks = tuple(tasks)
        self.register_buffer("prior", torch.tensor([task.weight for task in tasks.values()]))
        self.register_buffer("weights", torch.ones(len(self.tasks)))

    def forward(self, losses: Losses, shared: nn.Parameter) -> Tensor:
        """What is minimised: Σ pᵢ wᵢ Lᵢ, a scalar.

        Args:
            losses: of a whole batch or of a part of it; none where no label is known.
            shared: the weights of the last layer that all tasks share.
        """
        if not losses:
            return 0.0 * shared.sum()
        places = self.places(losses)
        factors = self.prior[places] * self.weights[places]
        return (factors * torch.stack(list(losses.values()))).sum()

    def places(self, losses: Losses) -> Tensor:
        """int64 [n]: which of the tasks the losses are of."""
        return torch.tensor([self.tasks.index(task) for task in losses], device=self.prior.device)

    @staticmethod
    def mean(parts: list[Tensor]) -> Tensor:
        """The mean over the parts of a batch: these, and as many in each of the other processes."""
        total = torch.stack(parts).sum(0)
        parallel.add_up([total])
        return total / (len(parts) * parallel.count())

    @abstractmethod
    def update(self) -> None:
        """Learn from what `forward` got since the last call: the losses of one step."""
