"""Settings of the alignment."""

from typing import Annotated, Literal

from pydantic import Field

from components.data.settings import EvaluatedSplit
from components.stage.settings import TorchSettings
from components.tasks.registry import Tasks
from components.training.settings import BatchSize, OptimizerSettings


class AlignSettings(OptimizerSettings):
    """The space that all modalities share."""

    loss: Literal["infonce", "sigmoid"] = "infonce"
    """InfoNCE as in CLIP, or the sigmoid loss of SigLIP."""
    embed_dim: Annotated[int, Field(ge=8, le=4096)] = 64
    """Width of the space that all modalities share."""
    batch_size: BatchSize = 512
    """Samples per step."""


class AlignStageSettings(TorchSettings):
    """What the stage reads of params.yaml."""

    tasks: Tasks
    align: AlignSettings = AlignSettings()
    evaluate: EvaluatedSplit = EvaluatedSplit()
