"""The sections `align` and `train`, and what every training has."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.modalities.registry import MODALITIES, Modality
from components.stage.section import Count, Dropout, Positive, Section, matching

Rate = Annotated[float, Field(gt=0, le=1)]

FOLDER = r"\w[\w.-]*"
StartFolder = Annotated[
    str,
    matching(
        FOLDER,
        "the name of a folder that lies in pretrained/model and holds a trained model, or null",
    ),
]


class OptimiserSettings(Section):
    """AdamW with a linear warm-up over a tenth of the steps and a cosine decay to zero."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]


class AlignSettings(OptimiserSettings):
    """The shared space of all modalities."""

    loss: Literal["infonce", "sigmoid"]
    width: Annotated[int, Field(ge=8, le=4096)]


class StoppingSettings(Section):
    """Training ends when a metric of the validation split no longer improves."""

    metric: Annotated[str, Field(min_length=1)]
    patience: Count


class LoopSettings(Section):
    """How the training loop makes its steps, and when it ends."""

    schedule: Literal["cosine", "one_cycle"]
    average: Dropout
    accumulate: Count
    clip: Positive | None
    precision: Literal["float32", "bfloat16"]
    early_stopping: StoppingSettings | None


class EncoderModes(Section):
    """Which encoders joint training changes."""

    image: Literal["frozen", "finetune"]
    text: Literal["frozen", "finetune"]
    audio: Literal["frozen", "finetune"]


class EncoderRates(Section):
    """Learning rates of the encoders in joint training."""

    image: Rate
    text: Rate
    audio: Rate


class TrainSettings(OptimiserSettings, LoopSettings):
    """Joint training of everything after the encoders, or of some encoders too."""

    start: StartFolder | None
    encoders: EncoderModes
    encoder_learning_rates: EncoderRates
    modality_dropout: Dropout
    weighting: Literal["fixed", "uncertainty", "gradnorm"]
    gradnorm_alpha: Annotated[float, Field(ge=0, le=10)]
    tasks: Literal["all", "size", "lagging"]
    size_temperature: Annotated[float, Field(ge=1, le=1000)]
    lagging_focus: Annotated[float, Field(ge=0, le=10)]
    modulation: Literal["none", "ogm-ge"]
    ogm_alpha: Annotated[float, Field(ge=0, le=10)]
    compile: bool
    device: Literal["cpu", "cuda"]
    processes: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _a_batch_has_as_many_parts(self):
        if self.accumulate * self.processes > self.batch:
            raise ValueError(
                f"accumulate × processes ({self.accumulate} × {self.processes}) parts of a batch "
                f"({self.batch}) would be empty; lower them or raise batch"
            )
        return self

    @model_validator(mode="after")
    def _gradnorm_sees_every_task(self):
        if self.weighting == "gradnorm" and self.tasks != "all":
            raise ValueError(
                f"weighting is gradnorm, tasks is {self.tasks}: GradNorm compares the gradients of "
                "the tasks of one step, which would have one task only. Set tasks: all, or another "
                "weighting"
            )
        if self.weighting == "gradnorm" and self.compile:
            raise ValueError(
                "weighting is gradnorm, compile is true: GradNorm goes back from each task's loss, "
                "and a compiled model can be gone back through only once. Set compile: false, or "
                "another weighting"
            )
        return self

    @property
    def frozen(self) -> set[Modality]:
        """The modalities whose encoders stay as they are."""
        return {m for m in MODALITIES if getattr(self.encoders, m) == "frozen"}
