"""What the three feature stages share: teach an encoder or take one, then encode every asset."""

import argparse
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.files import replacing
from components.common.hashing import file_hash
from components.common.source_code import code_hash
from components.config.command import Stage, View
from components.data.assets import MISSING, AssetTensors, asset_labels, load_assets
from components.data.shards import Shard, transform
from components.data.tables import HISTORY, SPLITS, write_table
from components.huggingface import models
from components.huggingface.description import Description, describe
from components.huggingface.locate import is_built_here, locate
from components.layers.features import encode, tensors_of
from components.layers.heads import Heads
from components.modalities.encoder_file import save_encoder
from components.modalities.registry import Modality
from components.modalities.settings import EncoderSettings
from components.tasks.classification.head import Classification
from components.tasks.labels import Vocabulary
from components.tasks.settings import TaskSettings
from components.tasks.task import Kind
from components.tasks.task_kinds import KINDS, with_heads
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.loop import fit, skip
from components.training.run import Recipe
from components.training.settings import OptimiserSettings

log = logging.getLogger(__name__)

INPUTS = {
    "tensors": "folder, the tensor shard set of the modality",
    "samples": "Parquet, the samples",
    "vocabulary": "JSON, what ingest learnt of each task's labels",
    "pretrained": "folder, where the setting may name an encoder",
}
OUTPUTS = {
    "features": "folder, the feature shard set",
    "encoder": "safetensors, the weights of the encoder",
    "history": "CSV, metrics by epoch",
    "checkpoint": "safetensors, where an interrupted run resumes; removed at the end",
}

INVERSE_TEMPERATURE = 10.0  # of the agreement of two views, as in SimCLR

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """One thing that an encoder is taught: a label of each asset.

    Attributes:
        targets: [N, …], for each asset of the modality, as the kind makes them.
        outputs: how many numbers the head gives.
        weight: of its loss.
        kind: of task.
    """

    targets: Tensor
    outputs: int
    weight: float
    kind: type[Kind] = Classification


@dataclass(frozen=True)
class Lesson:
    """What one encoder is taught, and on which assets.

    Attributes:
        modality: of the encoder.
        encoder: with fresh weights; trained in place.
        assets: all assets of the modality.
        rows: the rows of `assets` in each split, [n].
        objectives: by name; all are learnt at once.
        options: how the encoder is trained.
        augment: changes a training batch.
        self_supervised: gives a further loss of a training batch, by name.
    """

    modality: Modality
    encoder: nn.Module
    assets: AssetTensors
    rows: Mapping[str, Tensor]
    objectives: Mapping[str, Objective]
    options: EncoderSettings
    augment: Callable[[Batch], Batch] = lambda batch: batch
    self_supervised: Callable[[nn.Module, Batch], dict[str, Tensor]] | None = None


class Teacher(nn.Module):
    """An encoder and one linear head an objective, over its pooled features."""

    def __init__(self, lesson: Lesson):
        super().__init__()
        self.encoder = lesson.encoder
        self.heads = Heads(
            {k: nn.Linear(lesson.encoder.width, o.outputs) for k, o in lesson.objectives.items()}
        )


def load(
    arguments: argparse.Namespace, samples: pd.DataFrame, modality: Modality
) -> tuple[AssetTensors, dict[str, Tensor]]:
    """The assets of a modality and their rows in each split."""
    assets = load_assets(arguments.tensors)
    ids = samples.groupby("split")[f"{modality}_id"].unique()
    rows = {
        split: assets.rows(pd.Series(ids.get(split, []), dtype="str").dropna()) for split in SPLITS
    }
    return assets, rows


def task_objectives(
    modality: Modality,
    assets: AssetTensors,
    samples: pd.DataFrame,
    tasks: Mapping[str, TaskSettings],
    vocabulary: Mapping[str, Vocabulary],
) -> dict[str, Objective]:
    """The tasks whose label the modality alone decides, but those whose head writes.

    Those may have several right texts for one asset, and are learnt in the stage `train`.
    """
    objectives = {}
    for name, task in with_heads(tasks).items():
        if modality in task.decided_by and not KINDS[task.kind].WRITES:
            kind = KINDS[task.kind](**vocabulary[name])
            labels = asset_labels(samples, modality, task.column, kind.written)
            targets = kind.targets(labels.reindex(list(assets.ids)))
            objectives[name] = Objective(targets, kind.outputs, task.weight, type(kind))
    return objectives


def targets_of(assets: AssetTensors, labels: pd.Series) -> Tensor:
    """int64 [N]: the label of each asset, -1 where it has none."""
    found = labels.reindex(list(assets.ids)).fillna(MISSING).astype("int64")
    return torch.tensor(found.to_numpy())


def by_views(lesson: Lesson, view: Callable[[Batch], Batch]) -> Lesson:
    """The lesson of an encoder that no label teaches: two views of an asset have one meaning.

    Args:
        lesson: without objectives.
        view: changes every asset of a batch at random, in a way that leaves its meaning.
    """
    name = f"same_{lesson.modality}"

    def self_supervised(encoder: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = (encoder(**view(batch)).pooled for _ in range(2))  # [B, D]
        return {name: disagreement(first, second)}

    log.info("features_%s: no label teaches the encoder, so it learns %s", lesson.modality, name)
    return replace(lesson, augment=lambda batch: batch, self_supervised=self_supervised)


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1): every view is to find the other of its asset.

    Args:
        first: pooled features of one view of each asset [B, D].
        second: of another view [B, D].
    """
    views = F.normalize(torch.cat([first, second]), dim=-1)  # [2B, D]
    itself = torch.eye(len(views), dtype=torch.bool)
    similarity = (INVERSE_TEMPERATURE * views @ views.T).masked_fill(itself, -torch.inf)  # [2B, 2B]
    return F.cross_entropy(similarity, torch.arange(len(views)).roll(len(first)))


def teach(lesson: Lesson, seed: int, checkpoint: Checkpoint) -> pd.DataFrame:
    """Train the encoder on the assets of the training split, if there are any.

    Returns:
        Its history: a table as `HISTORY`.
    """
    label = f"features_{lesson.modality}"
    if not len(lesson.rows["train"]):
        return skip(label, f"no training sample has {lesson.modality}")
    teacher = Teacher(lesson)
    return fit(
        Recipe(
            module=teacher,
            batches=partial(_batches, lesson),
            losses=partial(_losses, lesson, teacher),
            measure=partial(_measure, lesson, teacher),
            options=lesson.options,
            seed=seed,
            checkpoint=checkpoint,
            label=label,
        )
    ).history


def _batches(lesson: Lesson) -> list[Tensor]:
    """The training rows in a random order, cut into batches of nearly equal size."""
    rows = lesson.rows["train"]
    count = max(1, round(len(rows) / lesson.options.batch))
    return list(rows[torch.randperm(len(rows))].tensor_split(count))


def _losses(lesson: Lesson, teacher: Teacher, rows: Tensor) -> dict[str, Tensor]:
    batch = lesson.augment({name: value[rows] for name, value in lesson.assets.tensors.items()})
    pooled = teacher.encoder(**batch).pooled  # [B, D]
    losses = {
        name: objective.weight
        * objective.kind.loss(
            teacher.heads[name](pooled), objective.targets[rows], lesson.options.label_smoothing
        )
        for name, objective in lesson.objectives.items()
    }
    if lesson.self_supervised is not None:
        losses |= lesson.self_supervised(teacher.encoder, batch)
    return losses


def _measure(lesson: Lesson, teacher: Teacher) -> dict[str, dict[str, float]]:
    """The quality of each objective on the assets of the validation split."""
    rows = lesson.rows["validation"]
    pooled = encode(lesson.encoder, lesson.assets.tensors, rows).pooled
    result: dict[str, dict[str, float]] = {}
    for name, objective in lesson.objectives.items():
        kind, targets = objective.kind, objective.targets[rows]
        known = kind.known(targets)
        if known.any():
            quality = kind.quality(teacher.heads[name](pooled)[known], targets[known])
            result.setdefault(kind.QUALITY, {})[name] = quality
    return result


def take_published(encoder: nn.Module, name: str, folder: Path, modality: Modality) -> pd.DataFrame:
    """Give a model of Transformers the weights that it was published with.

    Args:
        encoder: with fresh weights; changed in place.
        name: the setting that names the model.
        folder: where the setting may name a folder.
        modality: of the encoder.

    Returns:
        Its history, which is empty.

    Raises:
        InputError: they cannot be read.
    """
    place = locate(name, folder, modality)
    with models.explained(place, modality):
        found, needed = models.weights(place, modality), encoder.model.state_dict()
        # What is over can only be a pooler that is not used.
        encoder.model.load_state_dict({k: v for k, v in found.items() if k in needed})
    return skip(f"features_{modality}", f"the encoder is {name}, taken as it is")


def take(encoder: nn.Module, path: Path, modality: Modality) -> pd.DataFrame:
    """Give an encoder the weights of a file, as they are: an earlier run's or torchvision's.

    Returns:
        Its history, which is empty.

    Raises:
        InputError: the file is missing, is no safetensors file, or holds other tensors.
    """
    key = f"features.{modality}.pretrained"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{key}: {path} cannot be read: {error}. Copy models/encoders/{modality}.safetensors "
            "of an earlier run there, or set null to teach an encoder here"
        ) from error
    needed = encoder.state_dict()
    if hasattr(encoder, "renamed"):  # torchvision's own files are of whole classifiers
        weights = encoder.renamed(weights)
    for name in [*needed, *sorted(weights)]:
        found, expected = _form(weights.get(name)), _form(needed.get(name))
        if found != expected:
            raise InputError(
                f"{key}: {path} does not fit the settings: tensor {name}: found {found}, expected "
                f"{expected}. Set preprocess.{modality} and features.{modality} as they were when "
                "it was taught, or null to teach an encoder here"
            )
    encoder.load_state_dict(weights)
    return skip(f"features_{modality}", f"the encoder is {path}, taken as it is")


def _form(tensor: Tensor | None) -> str:
    """The type and shape of a tensor, in words."""
    return "none" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"


def encode_all(
    encoder: nn.Module, weights: Path, recipe: list, tensors: Path, features: Path
) -> None:
    """Encode every shard that was not encoded in this way yet.

    Args:
        encoder: of one modality; its code decides the result too.
        weights: the file of its weights.
        recipe: whatever else decides the result.
        tensors: the tensor shard set.
        features: the folder of the feature shard set.
    """

    def convert(shard: Shard, path: Path) -> None:
        inputs = load_file(tensors / f"{shard.name}.safetensors")
        features = encode(encoder, inputs, torch.arange(len(shard.asset_ids)))
        with replacing(path) as temporary:
            save_file(tensors_of(features), temporary)

    encoder.eval()
    code = code_hash(__name__, type(encoder).__module__)
    made_by = [*recipe, file_hash(weights), code]
    computed = transform(tensors, features, convert, made_by, 1, features.name)
    log.info("%s: %d shards computed", features.name, computed)


def described(name: str, folder: Path, modality: Modality) -> Description | None:
    """What rebuilds the encoder that a setting names; None if it is built here."""
    return None if is_built_here(name, folder, modality) else describe(name, folder, modality)


def run(
    modality: Modality,
    stage: Stage,
    build: Callable[..., nn.Module],
    lesson: Callable[[argparse.Namespace, View, nn.Module], Lesson],
    arguments: argparse.Namespace,
    settings: View,
) -> None:
    """Do the work of a features stage: an encoder, its history and the features of every asset.

    Args:
        modality: of the stage.
        stage: its command line.
        build: gives the encoder with fresh weights, from what it reads, its settings and, if it
            is a model of Transformers, its description.
        lesson: says what the encoder is taught; not asked where it is taken as it is.
        arguments: of the command.
        settings: those that the stage may read.
    """
    make_deterministic(settings.seed, settings.threads)
    options: EncoderSettings = getattr(settings, f"features_{modality}")
    description = described(options.encoder, arguments.pretrained, modality)
    encoder = build(getattr(settings, f"preprocess_{modality}"), options, description)
    if options.pretrained:
        history = take(encoder, arguments.pretrained / options.pretrained, modality)
    elif description:
        history = take_published(encoder, options.encoder, arguments.pretrained, modality)
    else:
        checkpoint = Checkpoint.of(arguments, settings, stage)
        history = teach(lesson(arguments, settings, encoder), settings.seed, checkpoint)
    save_encoder(arguments.encoder, encoder, description)
    write_table(arguments.history, history, HISTORY)
    # What the weights do not show, such as heads. Where they are from is left out: taught here or
    # taken, the same weights give the same features.
    form = options.model_dump(exclude={"pretrained", *OptimiserSettings.model_fields})
    recipe = [form, settings.threads]
    encode_all(encoder, arguments.encoder, recipe, arguments.tensors, arguments.features)
    arguments.checkpoint.unlink(missing_ok=True)
