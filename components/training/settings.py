"""Settings that every training has, and those of the full training loop."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import Count, DropoutRate, Positive, Processes, Section

LearningRate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=2)]


class OptimizerSettings(Section):
    """AdamW with linear warm-up over a tenth of the steps, then a cosine decay to zero."""

    epochs: Count = 10
    """Passes over the training data."""
    batch_size: BatchSize = 32
    """Items per step."""
    learning_rate: LearningRate = 0.003
    """Peak for AdamW: warm-up over a tenth of the steps, then cosine decay to 0."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Applied to matrices, not to biases and gains."""


class EarlyStoppingSettings(Section):
    """Training ends when a metric of the validation split no longer improves."""

    metric: Annotated[str, Field(min_length=1)]
    """Its name in reports/history/<stage>.csv, as in `accuracy/digit`, or in that of train as in
    `accuracy all/answer`."""
    patience: Count = 3
    """Epochs without improvement after which training ends; the best epoch's weights are kept."""


class LoopSettings(Section):
    """How steps are made and when training ends."""

    schedule: Literal["cosine", "one_cycle"] = "cosine"
    """Learning-rate schedule: cosine, or up over three tenths, then down, momentum inversely."""
    ema_decay: DropoutRate = 0.0
    """Decay of the moving average of the weights that is validated and saved; 0: none."""
    max_grad_norm: Positive | None = None
    """Longer gradients are scaled down to it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products and convolutions."""
    early_stopping: EarlyStoppingSettings | None = None
    """When training ends before its last epoch."""
    processes: Processes | None = 1
    """Processes that train together, each on a part of every batch; null: 2 if there is enough to
    train, else 1."""
