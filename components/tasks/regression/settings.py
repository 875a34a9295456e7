"""Options of regression."""

from typing import Literal

from components.tasks.settings import HeadTaskSettings


class RegressionSettings(HeadTaskSettings):
    """A number; `goal` is an absolute error in standard deviations."""

    UNLEARNT = 1.0

    kind: Literal["regression"] = "regression"


SETTINGS = RegressionSettings
