"""Settings of the alignment."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import Seed, Settings, Threads
from components.tasks.registry import Tasks
from components.training.settings import OptimizerSettings


class AlignSettings(OptimizerSettings):
    """The space that all modalities share."""

    loss: Literal["infonce", "sigmoid"]  # the latter is that of SigLIP
    embed_dim: Annotated[int, Field(ge=8, le=4096)]


class AlignStageSettings(Settings):
    """What the stage reads of params.yaml."""

    seed: Seed
    threads: Threads
    tasks: Tasks
    align: AlignSettings
