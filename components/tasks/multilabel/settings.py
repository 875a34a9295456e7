"""Options of multi-label classification."""

from typing import Literal

from components.tasks.settings import HeadTaskSettings


class MultilabelSettings(HeadTaskSettings):
    """Any number of several classes."""

    kind: Literal["multilabel"] = "multilabel"


SETTINGS = MultilabelSettings
