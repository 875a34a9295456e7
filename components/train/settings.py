"""Settings of joint training."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.modalities.registry import ModalityName, PerModality
from components.modalities.settings import EncoderSettings
from components.model.settings import ModelSettings
from components.stage.settings import DropoutRate, Section, Seed, Settings, Threads, matching
from components.tasks.registry import Tasks
from components.training.settings import LearningRate, LoopSettings, OptimizerSettings
from components.training.task_sampling import ONE_SAMPLER, TaskSamplerSettings
from components.training.weighting.registry import ONE_WEIGHTING
from components.training.weighting.weighting import WeightingSettings

FOLDER = r"\w[\w.-]*"
EXPECTED = "the name of a folder that lies in pretrained/model and holds a trained model, or null"


class TrainSettings(OptimizerSettings, LoopSettings):
    """Joint training of everything after the encoders, and of some encoders.

    Attributes:
        warm_start: a trained model whose weights training starts from.
        encoder_learning_rates: of the encoders that are finetuned.
        modality_dropout: probability that a sample loses a modality.
        group_by: modality whose assets group samples: a batch has so many of its assets with all
            their samples, so that each is read once.
        weighting: of the losses of tasks, on top of their weights.
        task_sampling: which tasks a step trains.
    """

    warm_start: Annotated[str, matching(FOLDER, EXPECTED)] | None
    encoders: Mapping[ModalityName, Literal["frozen", "finetune"]]
    encoder_learning_rates: Mapping[ModalityName, LearningRate]
    modality_dropout: DropoutRate
    group_by: ModalityName
    weighting: Annotated[WeightingSettings, ONE_WEIGHTING]
    task_sampling: Annotated[TaskSamplerSettings, ONE_SAMPLER]
    compile: bool
    device: Literal["cpu", "cuda"]
    processes: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _batch_can_be_split(self):
        parts = self.gradient_accumulation_steps * self.processes
        if parts > self.batch_size:
            raise ValueError(
                f"gradient_accumulation_steps × processes ({self.gradient_accumulation_steps} × "
                f"{self.processes}) micro-batches of a batch ({self.batch_size}) would be empty; "
                "lower them or raise batch_size"
            )
        return self

    @model_validator(mode="after")
    def _gradnorm_sees_every_task(self):
        if self.weighting.kind == "gradnorm" and self.task_sampling.kind != "all":
            raise ValueError(
                f"weighting is gradnorm, task_sampling is {self.task_sampling.kind}: GradNorm "
                "compares the gradients of the tasks of one step, which would have one task only. "
                "Set task_sampling: all, or another weighting"
            )
        if self.weighting.kind == "gradnorm" and self.compile:
            raise ValueError(
                "weighting is gradnorm, compile is true: GradNorm propagates each task's loss "
                "back, and a compiled model allows it only once. Set compile: false, or another "
                "weighting"
            )
        return self

    @model_validator(mode="after")
    def _trained_encoders_have_learning_rates(self):
        trained = [m for m in self.encoders if not self.is_frozen(m)]
        if missing := [m for m in trained if m not in self.encoder_learning_rates]:
            raise ValueError(
                f"encoders of {', '.join(missing)} are finetuned, but encoder_learning_rates has "
                "no rate for them. Add one"
            )
        return self

    def is_frozen(self, modality: str) -> bool:
        """Return whether the encoder of a modality is not trained."""
        return self.encoders.get(modality, "frozen") == "frozen"


class TrainStageSettings(Settings):
    """What the stage reads of params.yaml."""

    seed: Seed
    threads: Threads
    tasks: Tasks
    preprocess: Annotated[Mapping[str, Section], PerModality("inputs")]
    features: Annotated[Mapping[str, EncoderSettings], PerModality("encoder")]
    model: ModelSettings
    train: TrainSettings
