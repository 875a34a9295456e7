"""Settings of the evaluation of any model."""

from typing import Annotated

from pydantic import Field

from components.data.settings import EvaluatedSplit
from components.modalities.registry import MODALITIES
from components.stage.settings import Settings, TorchSettings
from components.tasks.registry import Tasks


class _SplitGroup(Settings):
    group: str = MODALITIES[0]


class _Ingest(Settings):
    slices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    splits: _SplitGroup = _SplitGroup()


class EvaluationSettings(TorchSettings):
    """What the evaluation reads of params.yaml."""

    tasks: Tasks
    ingest: _Ingest = _Ingest()
    evaluate: EvaluatedSplit = EvaluatedSplit()
