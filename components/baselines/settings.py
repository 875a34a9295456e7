"""Settings of the baselines."""

from collections.abc import Mapping
from typing import Annotated

from components.modalities.registry import PerModality
from components.modalities.settings import InputSettings
from components.stage.settings import Settings, WorkerSettings, by_default
from components.tasks.registry import Tasks


class _Evaluate(Settings):
    baselines: bool = True


class BaselinesStageSettings(WorkerSettings):
    """What the stage reads of params.yaml."""

    tasks: Tasks
    preprocess: Annotated[Mapping[str, InputSettings], PerModality("inputs")] = by_default({})
    evaluate: _Evaluate = _Evaluate()
