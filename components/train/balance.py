"""What keeps tasks, and modalities, from being learnt at the cost of each other."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from components.train.data import Course, batches, grouped, labelled
from components.train.modulation import coefficient, discrepancies, modulate, scores_alone
from components.train.objective import share
from components.training.run import Measured, Share
from components.training.settings import TrainSettings
from components.training.task_sampling import CHOICES
from components.training.weighting import WEIGHTINGS


@dataclass(frozen=True)
class Step:
    """What one step trains.

    Attributes:
        index: int64 [n], training samples.
        tasks: whose losses count.
    """

    index: Tensor
    tasks: tuple[str, ...]


class Balance:
    """What a training run does beside the course: weigh tasks, choose some, hold modalities back.

    Attributes:
        weighting: of the losses.
        choice: of the tasks that a step trains.
        module: both and the model; what changes from step to step is in its buffers.
    """

    def __init__(self, course: Course, options: TrainSettings):
        self._course, self._options = course, options
        kinds = course.model.kinds
        counts = {task: len(labelled(course, task)) for task in course.tasks}
        self.weighting = WEIGHTINGS[options.weighting](course.tasks, kinds, options)
        self.choice = CHOICES[options.tasks](course.tasks, kinds, counts, options)
        parts = {"model": course.model, "weighting": self.weighting, "choice": self.choice}
        self.module = nn.ModuleDict(parts).to(course.device)
        self._step: Step | None = None
        self._leads: dict[str, float] = {}

    def steps(self) -> list[Step]:
        """The steps of an epoch: all samples once, or as many steps of the tasks that are drawn.

        A task's steps go through the samples that have its label, in a new order each time.
        """
        parts = batches(self._course)
        drawn = self.choice.draw(len(parts))
        if drawn is None:
            return [Step(part, self.choice.tasks) for part in parts]
        own = {task: self._endless(task) for task in dict.fromkeys(drawn)}
        return [Step(next(own[task]), (task,)) for task in drawn]

    def _endless(self, task: str) -> Iterator[Tensor]:
        index = labelled(self._course, task)
        while True:
            yield from grouped(self._course, index)

    def share(self, step: Step, count: int) -> list[Share]:
        """A step's samples, drawn and cut in parts: see `objective.share`."""
        self._step = step
        return share(self._course, step.index, count, step.tasks)

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """What is minimised."""
        return self.weighting(losses, self._course.model.last_shared)

    def before_step(self) -> None:
        """Learn how to weigh the next step, and hold back the modality that leads."""
        self.weighting.update()
        if self._options.modulation == "ogm-ge":
            scores = scores_alone(self._course, self._step.index, self._step.tasks)
            weights = {name: task.weight for name, task in self._course.tasks.items()}
            self._leads = discrepancies(scores, weights)
            modulate(self._course.model, self._leads, self._options.ogm_alpha)

    def after_epoch(self, measured: Measured) -> None:
        """Choose the tasks of the next epoch by what validation measured."""
        self.choice.learn(measured)

    def note(self) -> dict[str, dict[str, float | Tensor]]:
        """What is logged of a step beside its losses: whatever does not stay as it is."""
        noted: dict[str, dict[str, float | Tensor]] = {}
        if self._options.weighting != "fixed":
            noted["weight"] = dict(zip(self.weighting.tasks, self.weighting.weights, strict=True))
        if self.choice.shares is not None:
            noted["chance"] = dict(zip(self.choice.tasks, self.choice.shares, strict=True))
        if self._leads:
            alpha = self._options.ogm_alpha
            noted["discrepancy"] = self._leads
            noted["gradient"] = {m: coefficient(rho, alpha) for m, rho in self._leads.items()}
        return noted
