"""What the model is trained on: samples, their assets, and how they become batches."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from components.common.errors import InputError
from components.config.command import View
from components.config.settings import Settings
from components.data.assets import AssetTensors, load_assets
from components.data.batch import Samples, make_samples
from components.data.tables import SPLITS
from components.fusion.output import FeaturesByModality
from components.layers.features import features_of
from components.modalities.registry import MODALITIES, Modality
from components.model.multimodal import MultimodalModel
from components.tasks.settings import TaskSettings
from components.tasks.task_kinds import with_heads


@dataclass(frozen=True)
class Course:
    """What the model is trained on.

    Attributes:
        model: trained in place.
        assets: by modality, feature tensors if the encoder is frozen, else its inputs.
        frozen: the modalities whose encoders are.
        samples: by split.
        tasks: by name, those that a head learns.
        dropout: chance that a training sample loses a modality.
        batch: groups a step; a group is an image with all its samples.
    """

    model: MultimodalModel
    assets: Mapping[Modality, AssetTensors]
    frozen: Set[Modality]
    samples: Mapping[str, Samples]
    tasks: Mapping[str, TaskSettings]
    dropout: float
    batch: int

    @property
    def device(self) -> torch.device:
        """Where the model is; samples and assets lie in the main memory."""
        return self.model.readout.device


def prepare(
    settings: View | Settings,
    table: pd.DataFrame,
    model: MultimodalModel,
    tensors: Mapping[Modality, Path],
    features: Mapping[Modality, Path],
) -> Course:
    """What `model` is trained on: the samples in `table`, and their shard sets."""
    frozen, learnt = settings.train.frozen, model.config.learnt
    assets = {m: load_assets((features if m in frozen else tensors)[m]) for m in learnt}
    tasks = with_heads(settings.tasks)
    samples = {
        split: make_samples(table[table["split"] == split], assets, tasks, model.kinds)
        for split in SPLITS
    }
    return Course(
        model=model,
        assets=assets,
        frozen=frozen,
        samples=samples,
        tasks=tasks,
        dropout=settings.train.modality_dropout,
        batch=settings.train.batch,
    )


def learnt_from(table: pd.DataFrame) -> list[Modality]:
    """The modalities that training samples have.

    Raises:
        InputError: they have none.
    """
    train = table[table["split"] == "train"]
    if learnt := [m for m in MODALITIES if train[f"{m}_id"].notna().any()]:
        return learnt
    raise InputError(
        f"nothing to learn from: {len(train)} samples of the training split, none with an image, "
        "a text or a sound. See ingest.splits in params.yaml and the data report"
    )


def batches(course: Course) -> list[Tensor]:
    """Indices of all training samples, the batches of an epoch."""
    return grouped(course, torch.arange(len(course.samples["train"])))


def labelled(course: Course, task: str) -> Tensor:
    """int64 [n]: the training samples that can be asked a task, and whose label is known."""
    samples, model = course.samples["train"], course.model
    known = model.kinds[task].known(samples.targets[task])
    return (known & model.config.answerable(task, samples.presence)).nonzero().squeeze(1)


def grouped(course: Course, index: Tensor) -> list[Tensor]:
    """Some training samples as batches, by image: an image is read once for all its samples."""
    images = course.samples["train"].rows["image"][index]
    alone = torch.arange(len(images)) + int(images.max()) + 1  # a sample without image
    _, group = torch.where(images >= 0, images, alone).unique(return_inverse=True)
    groups = int(group.max()) + 1
    rank = torch.randperm(groups)[group]  # a random order of the groups, [n]
    order = rank.argsort(stable=True)
    count = max(1, round(groups / course.batch))
    bounds = torch.arange(1, count) * groups // count
    return list(index[order].tensor_split(torch.searchsorted(rank[order], bounds)))


def predict(course: Course, samples: Samples) -> dict[str, Tensor]:
    """Logits by task, each distinct asset read once."""
    distinct, compact = samples.compact()
    rows = {m: rows.to(course.device) for m, rows in compact.rows.items()}
    return course.model(features(course, distinct), rows)


def features(course: Course, distinct: Mapping[Modality, Tensor]) -> FeaturesByModality:
    """Features of some assets: from the cache, or from an encoder that is being trained."""
    picked = {
        m: {name: value[rows].to(course.device) for name, value in course.assets[m].tensors.items()}
        for m, rows in distinct.items()
    }
    encoded = course.model.encode({m: v for m, v in picked.items() if m not in course.frozen})
    return {m: encoded[m] if m in encoded else features_of(picked[m]) for m in picked}
