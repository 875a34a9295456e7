"""Small data for joint training: a tiny model, random assets and samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from components.data.assets import AssetTensors
from components.data.batches import Samples, asset_rows
from components.data.samples import SPLITS
from components.model.multimodal import MultimodalModel
from components.tasks.settings import HeadTaskSettings
from components.train.data import TrainingData
from components.train.joint_training import JointTraining, StepSamples
from components.train.settings import TrainSettings, TrainStageSettings
from components.training.checkpoint import Checkpoint
from components.training.run import Losses
from tests.support.params import small_settings
from tests.support.tiny_model import (
    EVERY_TASK,
    PRESENT,
    TASKS,
    label_every_task,
    make_assets,
    make_model,
    make_table,
)

ASSETS = 20
WIDE = {  # enough to learn by heart
    "model.size": {"width": 32, "layers": 1, "heads": 4},
    "align.embed_dim": 32,
    **{f"features.{m}.width": 16 for m in PRESENT},
}


class Killed(Exception):
    """As if the process were killed."""


class Counted(JointTraining):
    """Killed in micro-batch `kill_at`, counted from 1."""

    def __init__(self, data: TrainingData, path: Path, kill_at: int | None = None):
        super().__init__(data, 0, Checkpoint(path, "a"))
        self.kill_at, self.computed = kill_at, 0

    def losses(self, batch: Samples) -> Losses:
        self.computed += 1
        if self.computed == self.kill_at:
            raise Killed
        return super().losses(batch)


def train_settings(frozen: Sequence[str] = PRESENT, **options) -> TrainSettings:
    """Return small settings `train` with other options."""
    modes = {m: "frozen" if m in frozen else "finetune" for m in PRESENT}
    changes: dict[str, Any] = {"train.encoders": modes}
    changes |= {f"train.{name}": value for name, value in options.items()}
    return small_settings(TrainStageSettings, changes).train


def make_data(
    settings: TrainSettings | None = None,
    count: int = 60,
    missing: float = 0.3,
    modalities: Sequence[str] = PRESENT,
    **model,
) -> TrainingData:
    """Return the data of `count` samples, a third of them per split.

    Args:
        settings: of the training; by default all encoders are frozen.
        count: of samples.
        missing: fraction of the modalities that samples lack.
        modalities: of the model.
        model: see `make_model`.
    """
    built = make_model(modalities=modalities, **model)
    table = make_table(count, ASSETS, missing=missing)
    return data_of(built, settings or train_settings(), table, TASKS)


def make_data_of_every_task(count: int, **options) -> TrainingData:
    """Return complete samples with a task of every kind; options are those of the training."""
    options = {"modality_dropout": 0.0, "batch_size": 10} | options
    model = make_model(fresh=True, every=True, **WIDE)
    table = label_every_task(make_table(count, ASSETS, missing=0.0), ASSETS)
    return data_of(model, train_settings(**options), table, EVERY_TASK)


def data_of(
    model: MultimodalModel,
    settings: TrainSettings,
    table: pd.DataFrame,
    tasks: Mapping[str, HeadTaskSettings],
) -> TrainingData:
    """Return what `training_data` would read from shards."""
    modalities = model.config.modalities
    for m in modalities:
        model.encoder(m).requires_grad_(not settings.is_frozen(m))
    known = table[[f"{m}_id" for m in modalities]].notna().any(axis=1)
    assets = assets_of(model, settings)
    samples = {}
    for split in SPLITS:
        rows = table[known & (table["split"] == split)]
        targets = {
            name: model.tasks[name].targets(rows[task.column]) for name, task in tasks.items()
        }
        samples[split] = Samples(asset_rows(rows, assets, modalities), targets)
    return TrainingData(model, assets, samples, tasks, settings)


def assets_of(model: MultimodalModel, settings: TrainSettings) -> dict[str, AssetTensors]:
    """Return features of modalities whose encoder is frozen, inputs of the others."""
    features, inputs = make_assets(ASSETS, model), make_assets(ASSETS)
    return {m: features[m] if settings.is_frozen(m) else inputs[m] for m in features}


def joint_training(data: TrainingData, path: Path | None = None) -> JointTraining:
    """Return the run over some data; it is never resumed if it has no path."""
    return JointTraining(data, 0, None if path is None else Checkpoint(path, "a"))


def losses_of(data: TrainingData, index: Tensor) -> Losses:
    """Return the losses of some training samples in one step."""
    run = joint_training(data)
    (whole,) = run.micro_batches(StepSamples(index, tuple(data.tasks)), 1)
    return whole.weighted(run.losses(whole.batch))
