"""Options of multi-label classification."""

from typing import Annotated, Literal

from pydantic import Field

from components.tasks.settings import ClassTaskSettings


class MultilabelSettings(ClassTaskSettings):
    """Any number of several classes."""

    kind: Literal["multilabel"] = "multilabel"
    separator: Annotated[str, Field(min_length=1)] = "|"
    """What stands between the labels in a cell that is no list, such as "," or ";"."""


SETTINGS = MultilabelSettings
