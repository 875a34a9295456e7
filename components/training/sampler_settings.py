"""Options of task samplers, without torch, so that checking settings takes no seconds."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import OneOf, Section


class TaskSamplerSettings(Section):
    """Options of a sampler."""

    kind: str


class AllTasksSettings(TaskSamplerSettings):
    """No options."""

    kind: Literal["all"] = "all"


class BySizeSettings(TaskSamplerSettings):
    """Options of sampling by size."""

    kind: Literal["size"] = "size"
    temperature: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """1 draws tasks in proportion to their labels, higher ones more evenly."""


class LaggingSettings(TaskSamplerSettings):
    """Options of sampling by difficulty."""

    kind: Literal["lagging"] = "lagging"
    focus: Annotated[float, Field(ge=0, le=10)] = 1.0
    """The higher, the more steps go to the tasks that are farthest behind."""


SAMPLER_SETTINGS: dict[str, type[TaskSamplerSettings]] = {
    "all": AllTasksSettings,
    "size": BySizeSettings,
    "lagging": LaggingSettings,
}
ONE_SAMPLER = OneOf(SAMPLER_SETTINGS)
