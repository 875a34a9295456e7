"""Options of visual question answering."""

from typing import Annotated, Literal

from pydantic import Field

from components.tasks.settings import HeadTaskSettings


class VqaSettings(HeadTaskSettings):
    """Answers of several people to one question."""

    kind: Literal["vqa"] = "vqa"
    separator: Annotated[str, Field(min_length=1)] = "|"
    """What stands between the labels in a cell that is no list, such as "," or ";"."""
    answers: Annotated[int, Field(ge=2)] = 3000
    """The most frequent ones, which the model can give."""


SETTINGS = VqaSettings
