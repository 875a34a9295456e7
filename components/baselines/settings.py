"""Settings of the baselines."""

from components.stage.settings import Settings
from components.tasks.registry import Tasks


class _Evaluate(Settings):
    baselines: bool = True


class BaselinesStageSettings(Settings):
    """What the stage reads of params.yaml."""

    tasks: Tasks
    evaluate: _Evaluate = _Evaluate()
