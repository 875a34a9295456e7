"""Stage `train`: fusion, Transformer and heads learn every task at once."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from components.config.command import Stage, View
from components.config.section import MODALITIES, Modality
from components.config.settings import Settings, TaskSettings
from components.model.base.assets import AssetTensors, features_of, load_assets
from components.model.base.batch import Samples, make_samples
from components.model.base.fit import Checkpoint, Recipe, fit, make_deterministic
from components.model.folder import save_model
from components.model.fusion.fused import FeaturesByModality
from components.model.labels.labels import Vocabulary
from components.model.multimodal import ModelConfig, MultimodalModel
from components.model.tasks import with_heads
from components.store.errors import InputError
from components.store.files import read_json
from components.store.tables import HISTORY, SAMPLES, SPLITS, read_table, write_table

STAGE = Stage(
    description="Train fusion, Transformer and one head a task jointly, modalities dropped at "
    "random.",
    inputs={
        "samples": "Parquet, the samples",
        "vocabulary": "JSON, what ingest learnt of each task's labels",
        "tokenizer": "JSON, the tokenizer; it becomes part of the model",
        "projections": "safetensors, the projections of the align stage",
        **{f"{m}-tensors": f"folder, the tensor shard set of {m}" for m in MODALITIES},
        **{f"{m}-features": f"folder, the feature shard set of {m}" for m in MODALITIES},
        **{f"{m}-encoder": f"safetensors, the encoder of {m}" for m in MODALITIES},
    },
    outputs={
        "model": "folder, the trained model: weights, configuration, tokenizer",
        "history": "CSV, metrics by epoch",
        "checkpoint": "safetensors, where an interrupted run resumes; removed at the end",
    },
    params=("seed", "threads", "tasks", "preprocess", "features", "align", "model", "train"),
)

SHOWN = {  # what is measured after each epoch: the modalities that are kept
    "all": ("image", "text", "audio"),
    "image+text": ("image", "text"),
    "image+audio": ("image", "audio"),
}


@dataclass(frozen=True)
class Course:
    """What the model is trained on.

    Attributes:
        model: trained in place.
        assets: by modality, feature tensors if the encoders are frozen, else their inputs.
        frozen: whether the encoders are.
        samples: by split.
        tasks: by name, those that a head learns.
        dropout: chance that a training sample loses a modality.
        batch: groups a step; a group is an image with all its samples.
    """

    model: MultimodalModel
    assets: Mapping[Modality, AssetTensors]
    frozen: bool
    samples: Mapping[str, Samples]
    tasks: Mapping[str, TaskSettings]
    dropout: float
    batch: int


def batches(course: Course) -> list[Tensor]:
    """Indices of training samples, grouped by image: an image is read once for all its samples."""
    images = course.samples["train"].rows["image"]
    alone = torch.arange(len(images)) + int(images.max()) + 1  # a sample without image
    _, group = torch.where(images >= 0, images, alone).unique(return_inverse=True)
    groups = int(group.max()) + 1
    rank = torch.randperm(groups)[group]  # a random order of the groups, [n]
    order = rank.argsort(stable=True)
    count = max(1, round(groups / course.batch))
    bounds = torch.arange(1, count) * groups // count
    return list(order.tensor_split(torch.searchsorted(rank[order], bounds)))


def drop_modalities(presence: Tensor, dropout: float) -> Tensor:
    """bool [B, M]: the modalities kept; one that was there is always left."""
    chance = torch.rand(presence.shape).masked_fill(~presence, -1.0)
    last = F.one_hot(chance.argmax(1), presence.shape[1]).bool()  # [B, M]
    return presence & ((chance >= dropout) | last)


def predict(course: Course, samples: Samples) -> dict[str, Tensor]:
    """Logits by task, each distinct asset read once."""
    distinct, compact = samples.compact()
    return course.model(features(course, distinct), compact.rows)


def features(course: Course, distinct: Mapping[Modality, Tensor]) -> FeaturesByModality:
    """Features of some assets: from the cache, or from the encoders that are being trained."""
    picked = {
        m: {name: value[rows] for name, value in course.assets[m].tensors.items()}
        for m, rows in distinct.items()
    }
    if course.frozen:
        return {m: features_of(tensors) for m, tensors in picked.items()}
    return course.model.encode(picked)


def losses(course: Course, index: Tensor) -> dict[str, Tensor]:
    """The loss by task of some training samples, after modalities were dropped."""
    samples = course.samples["train"][index]
    samples = samples.keep(drop_modalities(samples.presence, course.dropout))
    return task_losses(course.model, course.tasks, samples, predict(course, samples))


def task_losses(
    model: MultimodalModel,
    tasks: Mapping[str, TaskSettings],
    samples: Samples,
    logits: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The loss by task, weighted, over the samples that can know their label.

    A task that one modality decides is not asked of a sample that has lost that modality.
    """
    presence = samples.presence
    result = {}
    for name, task in tasks.items():
        kind, unanswerable = model.kinds[name], ~model.config.answerable(name, presence)
        targets = kind.hide(samples.targets[name], unanswerable)
        result[name] = task.weight * kind.loss(logits[name], targets)
    return result


def measure(course: Course) -> dict[str, dict[str, float]]:
    """How good each task is on the validation split, for each of `SHOWN`."""
    samples = course.samples["validation"]
    result = {}
    learnt = course.model.config.learnt
    for label, kept in SHOWN.items():
        if label != "all" and not set(kept) <= set(learnt):
            continue
        keep = samples.presence & torch.tensor([m in kept for m in MODALITIES])
        asked = keep.any(1)
        part = samples.keep(keep)[asked]
        if not len(part):
            continue
        for task, logits in predict(course, part).items():
            kind, targets = course.model.kinds[task], part.targets[task]
            known = kind.known(targets)
            if known.any():
                quality = kind.quality(logits[known], targets[known])
                result.setdefault(f"{kind.QUALITY} ({label})", {})[task] = quality
    return result


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


def build(
    settings: View | Settings,
    vocabulary: Mapping[str, Vocabulary],
    learnt: Sequence[Modality],
    encoders: Mapping[Modality, Path],
    projections: Path,
) -> MultimodalModel:
    """The model with the weights of the stages before; frozen encoders do not learn."""
    model = MultimodalModel(ModelConfig.of(settings, vocabulary, learnt))
    for m in MODALITIES:
        model.encoders[m].load_state_dict(load_file(encoders[m]))
    model.encoders.requires_grad_(settings.train.encoders == "finetune")
    aligned = load_file(projections)  # of a modality that no sample has there is none
    model.projections.load_state_dict(model.projections.state_dict() | aligned)
    return model


def prepare(
    settings: View | Settings,
    table: pd.DataFrame,
    model: MultimodalModel,
    tensors: Mapping[Modality, Path],
    features: Mapping[Modality, Path],
) -> Course:
    """What `model` is trained on: the samples in `table`, and their shard sets."""
    frozen = settings.train.encoders == "frozen"
    assets = {m: load_assets((features if frozen else tensors)[m]) for m in model.config.learnt}
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


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    table = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    tensor_sets, feature_sets, encoders = (
        {m: getattr(arguments, f"{m}_{kind}") for m in MODALITIES}
        for kind in ("tensors", "features", "encoder")
    )
    model = build(settings, vocabulary, learnt_from(table), encoders, arguments.projections)
    course = prepare(settings, table, model, tensor_sets, feature_sets)
    checkpoint = Checkpoint.of(arguments, settings, STAGE)
    history = fit(
        Recipe(
            module=model,
            batches=partial(batches, course),
            losses=partial(losses, course),
            measure=partial(measure, course),
            options=settings.train,
            seed=settings.seed,
            checkpoint=checkpoint,
            label="train",
        )
    )
    write_table(arguments.history, history, HISTORY)
    save_model(arguments.model, model, arguments.tokenizer.read_text())
    checkpoint.clear()


if __name__ == "__main__":
    STAGE.run(work)
