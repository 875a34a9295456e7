"""The model, the data and the run of the train stage, as benchmarks take them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from components.common.files import read_json
from components.data.assets import load_assets
from components.data.samples import modalities_present, read_samples
from components.features.encoder_training import (
    EncoderData,
    EncoderTraining,
    EncoderWithHeads,
    split_rows,
    task_objectives,
)
from components.features.settings import settings_for
from components.modalities.encoding import pretext_of
from components.modalities.registry import MODALITIES, encoders_of
from components.model.multimodal import MultimodalModel
from components.stage.settings import load_settings
from components.train.build import build_model
from components.train.data import TrainingData, training_data
from components.train.joint_training import JointTraining, StepSamples
from components.train.settings import TrainSettings, TrainStageSettings
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.overfitting import Measurements
from components.training.run import MicroBatch, Validation

MODES = {mode: dict.fromkeys(MODALITIES, mode) for mode in ("frozen", "finetune")}  # of encoders


def read_settings(project: Path, **changes: Any) -> TrainStageSettings:
    """Return the settings of the train stage, with changes in the section `train`."""
    settings = load_settings(project / "params.yaml", TrainStageSettings)
    train = TrainSettings.model_validate(settings.train.model_dump() | changes)
    return settings.model_copy(update={"train": train})


def read_project_samples(project: Path) -> pd.DataFrame:
    """Return the samples of a project whose pipeline has run."""
    return read_samples(project / "data/samples.parquet", MODALITIES)


def fresh_model(project: Path, settings: TrainStageSettings) -> MultimodalModel:
    """Return the model as the train stage starts it, in training mode."""
    make_deterministic(settings.seed, settings.threads)
    modalities = modalities_present(read_project_samples(project), MODALITIES)
    models = project / "models"
    vocabulary = read_json(project / "data/vocabulary.json")
    earlier = models / "encoders", models / "projections.safetensors"
    return build_model(modalities, settings, vocabulary, *earlier).train()


def read_data(project: Path, settings: TrainStageSettings, model: MultimodalModel) -> TrainingData:
    """Return what the train stage trains a model on."""
    data, samples = project / "data", read_project_samples(project)
    folders = data / "tensors", data / "features"
    return training_data(model, samples, settings.tasks, settings.train, *folders)


def encoder_training(project: Path, m: str) -> EncoderTraining:
    """Return the training of a fresh encoder on the tasks of a project, without a checkpoint."""
    settings = load_settings(project / "params.yaml", settings_for(m))
    make_deterministic(settings.seed, settings.threads)
    inputs, options = getattr(settings.preprocess, m), getattr(settings.features, m)
    samples, assets = read_project_samples(project), load_assets(project / "data/tensors" / m)
    vocabulary = read_json(project / "data/vocabulary.json")
    objectives = task_objectives(m, assets, samples, settings.tasks, vocabulary)
    rows, pretext = split_rows(assets, samples, m), pretext_of(m, inputs, options)
    return EncoderTraining(
        optimizer=options,
        seed=settings.seed,
        checkpoint=Checkpoint(project / "none", ""),
        data=EncoderData(m, assets, rows, objectives, pretext),
        model=EncoderWithHeads(encoders_of(m).build(inputs, options, None), objectives),
        options=options,
    )


class TimedTraining(JointTraining):
    """Joint training of the first batches of an epoch, the same in all runs, without validation."""

    def __init__(self, data: TrainingData, seed: int, checkpoint: Checkpoint, steps: int):
        super().__init__(data, seed, checkpoint)
        self.began: list[float] = []  # when each step began, in seconds of processor time
        torch.manual_seed(seed)
        self._batches = super().batches()[:steps]

    def batches(self) -> list[StepSamples]:
        return self._batches

    def micro_batches(self, batch: StepSamples, count: int) -> list[MicroBatch]:
        self.began.append(time.process_time())
        return super().micro_batches(batch, count)

    def validate(self) -> Validation:
        return {}

    def compare(self) -> tuple[Measurements, Measurements]:
        return {}, {}


@contextmanager
def timed_training(
    project: Path, settings: TrainStageSettings, model: MultimodalModel, steps: int
) -> Iterator[TimedTraining]:
    """Give such a run of a model, with no checkpoint to resume from."""
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "checkpoint", "")
        yield TimedTraining(read_data(project, settings, model), settings.seed, checkpoint, steps)
