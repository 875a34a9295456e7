"""Options of classification."""

from typing import Literal

from components.tasks.settings import HeadTaskSettings


class ClassificationSettings(HeadTaskSettings):
    """One of several classes."""

    kind: Literal["classification"] = "classification"


SETTINGS = ClassificationSettings
