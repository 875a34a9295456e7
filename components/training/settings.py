"""Settings that every training has, and those of the full training loop."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import Count, DropoutRate, Positive, Section

LearningRate = Annotated[float, Field(gt=0, le=1)]


class OptimizerSettings(Section):
    """AdamW with linear warm-up over a tenth of the steps, then a cosine decay to zero."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: LearningRate
    weight_decay: Annotated[float, Field(ge=0, le=1)]


class EarlyStoppingSettings(Section):
    """Training ends when a metric of the validation split no longer improves."""

    metric: Annotated[str, Field(min_length=1)]
    patience: Count


class LoopSettings(Section):
    """How steps are made and when training ends."""

    schedule: Literal["cosine", "one_cycle"] = "cosine"
    ema_decay: DropoutRate = 0.0
    gradient_accumulation_steps: Count = 1
    max_grad_norm: Positive | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    early_stopping: EarlyStoppingSettings | None = None
