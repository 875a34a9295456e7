"""Settings of joint training."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.modalities.registry import MODALITIES, ModalityName, PerModality
from components.modalities.settings import EncoderSettings, InputSettings, Mixup
from components.model.settings import ModelSettings
from components.stage.settings import (
    Count,
    DropoutRate,
    TorchSettings,
    by_default,
    matching,
)
from components.tasks.registry import Tasks
from components.training.sampler_settings import ONE_SAMPLER, TaskSamplerSettings
from components.training.settings import BatchSize, LearningRate, LoopSettings, OptimizerSettings
from components.training.weighting.settings import ONE_WEIGHTING, WeightingSettings

FOLDER = r"\w[\w.-]*"
EXPECTED = "the name of a folder that lies in pretrained/model and holds a trained model, or null"
ModelFolder = Annotated[str, matching(FOLDER, EXPECTED)]


class TrainSettings(OptimizerSettings, LoopSettings):
    """Joint training of everything after the encoders, and of some encoders."""

    epochs: Count = 15
    """Passes over the training samples."""
    warm_start: ModelFolder | None = None
    """A trained model whose weights training starts from: a folder in pretrained/model."""
    ensemble: Annotated[tuple[ModelFolder, ...], Field(strict=False)] = ()
    """Trained models whose answers are averaged, in place of training: folders in
    pretrained/model."""
    encoders: Mapping[ModalityName, Literal["frozen", "finetune"]] = {}
    """Per modality: frozen (the default) reads cached features, finetune trains the encoder too."""
    encoder_learning_rates: Mapping[ModalityName, LearningRate] = {}
    """Per finetuned encoder, by default learning_rate; pretrained ones need less, as 0.00002."""
    modality_dropout: DropoutRate = 0.3
    """Probability that a sample loses a modality, drawn per modality."""
    mixup: Mixup = 0.0
    """Blend the features of samples and their labels in pairs, shares drawn from Beta(mixup,
    mixup); 0: do not."""
    mixup_modalities: Literal["all", "one"] = "all"
    """Whose features are blended: those of all modalities, or of one, drawn per step, together with
    the labels that it alone decides."""
    weighting: Annotated[WeightingSettings, ONE_WEIGHTING] = by_default("fixed")
    """Weighting of the tasks' losses, on top of tasks.*.weight."""
    task_sampling: Annotated[TaskSamplerSettings, ONE_SAMPLER] = by_default("all")
    """Tasks that a step trains: all, or one, drawn by its size or by how far it lags."""
    group_by: ModalityName = MODALITIES[0]
    """Modality whose assets make up a batch, each with all its samples, so that it is read once."""
    gradient_accumulation_steps: Count = 1
    """Micro-batches per step, one after the other: less memory."""
    batch_size: BatchSize = 32
    """Assets of that modality per step, or samples where there are none."""
    compile: bool = False
    """With torch.compile; needs a C++ compiler."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of training, cuda with one GPU per process; the bytes depend on it."""

    @model_validator(mode="after")
    def _batch_can_be_split(self):
        processes = self.processes or 1
        parts = self.gradient_accumulation_steps * processes
        if parts > self.batch_size:
            raise ValueError(
                f"gradient_accumulation_steps × processes ({self.gradient_accumulation_steps} × "
                f"{processes}) micro-batches of a batch ({self.batch_size}) would be empty; "
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

    def is_frozen(self, modality: str) -> bool:
        """Return whether the encoder of a modality is not trained."""
        return self.encoders.get(modality, "frozen") == "frozen"


class TrainStageSettings(TorchSettings):
    """What the stage reads of params.yaml."""

    tasks: Tasks
    preprocess: Annotated[Mapping[str, InputSettings], PerModality("inputs")] = by_default({})
    features: Annotated[Mapping[str, EncoderSettings], PerModality("encoder")] = by_default({})
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
