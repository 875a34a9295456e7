"""Options of classification."""

from typing import Literal

from components.tasks.settings import ClassTaskSettings


class ClassificationSettings(ClassTaskSettings):
    """One of several classes."""

    kind: Literal["classification"] = "classification"


SETTINGS = ClassificationSettings
