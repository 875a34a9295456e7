"""Settings of the evaluation of any model."""

from components.data.settings import EvaluatedSplit
from components.evaluate.settings import TestSplit
from components.stage.settings import TorchSettings
from components.tasks.registry import Tasks


class EvaluationSettings(TorchSettings):
    """What the evaluation reads of params.yaml."""

    tasks: Tasks
    ingest: TestSplit = TestSplit()
    evaluate: EvaluatedSplit = EvaluatedSplit()
