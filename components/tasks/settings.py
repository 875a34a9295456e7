"""Settings that tasks of all kinds have; options of a kind lie in its folder."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from components.modalities.registry import ModalityName
from components.stage.settings import Fraction, Positive, Section


class TaskSettings(Section):
    """A task over one column of the samples."""

    kind: str
    column: str
    """Column of the source with the labels; text: the sample's own text."""
    weight: Positive = 1.0
    """Weight of its loss in the sum."""


class HeadTaskSettings(TaskSettings):
    """A task that a head of the model learns."""

    UNLEARNT: ClassVar[float] = 0.0  # validation metric of a model that has learnt nothing

    sufficient_modalities: Annotated[tuple[ModalityName, ...], Field(strict=False)] = ()
    """Each of them alone decides the label; none if it takes several."""
    goal: Fraction | None = None
    """The validation metric at which the task is done, if not at a perfect one."""

    @model_validator(mode="after")
    def _goal_can_be_approached(self):
        if self.goal == self.UNLEARNT:
            raise ValueError(
                f"kind is {self.kind}, goal is {self.goal}; expected another value than that of a "
                f"model that has learnt nothing, {self.UNLEARNT:g}"
            )
        return self


class ClassTaskSettings(HeadTaskSettings):
    """A task over classes, some of which may be rare."""

    balance: Literal["none", "weights", "sampling"] = "none"
    """What helps rare classes: weights, so that every class counts the same in the loss, or
    sampling, so that batches draw every class equally often; of one task only."""


def balance_of(task: TaskSettings) -> str:
    """Return what helps rare classes of a task; none where it has no classes."""
    return task.balance if isinstance(task, ClassTaskSettings) else "none"
