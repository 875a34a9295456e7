"""Trains an encoder on the tasks that its modality alone decides, or by self-supervision."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.data.assets import AssetTensors, label_votes, majority_labels
from components.data.samples import SPLIT, SPLITS, asset_column
from components.layers.features import Encoder, encode
from components.layers.losses import nt_xent
from components.layers.named_modules import NamedModules
from components.modalities.encoding import Batch, Objective, Pretext
from components.modalities.registry import VIEWS
from components.modalities.settings import EncoderSettings
from components.tasks.class_task import ClassTask, balanced_loss, sampled_classes, soft_targets
from components.tasks.labels import Vocabulary
from components.tasks.registry import head_of, with_heads
from components.tasks.settings import TaskSettings
from components.tasks.task import Task
from components.training.class_sampling import draw_evenly
from components.training.launch import launch, processes_of
from components.training.loop import skip, train
from components.training.overfitting import Measured, Measurements, some_of
from components.training.run import Losses, MicroBatch, TrainingRun, Validation, weighted_parts
from components.training.settings import LoopSettings

log = logging.getLogger(__name__)

SIMCLR_INVERSE_TEMPERATURE = 10.0  # as in SimCLR


@dataclass(frozen=True)
class EncoderData:
    """What one encoder is trained on."""

    modality: str
    assets: AssetTensors  # all of the modality
    rows: Mapping[str, Tensor]  # by split, rows of `assets`, int64 [n]
    objectives: Mapping[str, Objective]  # by name
    pretext: Pretext  # what trains it besides


class EncoderWithHeads(nn.Module):
    """An encoder and one linear head per objective over its pooled features."""

    def __init__(self, encoder: Encoder, objectives: Mapping[str, Objective]):
        super().__init__()
        self.encoder = encoder
        self.heads = NamedModules(
            {name: nn.Linear(encoder.width, o.outputs) for name, o in objectives.items()}
        )


@dataclass
class EncoderTraining(TrainingRun):
    """The training of an encoder, in place."""

    data: EncoderData
    model: EncoderWithHeads
    options: EncoderSettings

    @property
    def label(self) -> str:
        return f"features_{self.data.modality}"

    @property
    def module(self) -> nn.Module:
        return self.model

    @property
    def loop(self) -> LoopSettings:
        return self.options

    def batches(self) -> list[Tensor]:
        """Return rows of training assets in random order, in batches of nearly equal size.

        If the classes of an objective are sampled, some rows come several times, others never.
        """
        rows = self.data.rows["train"]
        count = max(1, round(len(rows) / self.options.batch_size))
        return list(rows[self._order(rows)].tensor_split(count))

    def _order(self, rows: Tensor) -> Tensor:
        for objective in self.data.objectives.values():
            if objective.sampled is not None:
                return draw_evenly(objective.sampled[rows], len(rows))
        return torch.randperm(len(rows))

    def micro_batches(self, batch: Tensor, count: int) -> list[MicroBatch]:
        """Split the assets of a batch; raise `InputError` if there are too few."""
        if count == 1:
            return [MicroBatch(batch)]
        if len(batch) < count:
            m = self.data.modality
            raise InputError(
                f"a step has {len(batch)} assets, too few for {count} processes. Lower "
                f"features.{m}.processes in params.yaml, or raise features.{m}.batch_size"
            )
        parts = batch.tensor_split(count)
        known = {
            name: torch.stack([objective.known(objective.targets[part]).sum() for part in parts])
            for name, objective in self.data.objectives.items()
        }
        return weighted_parts(parts, known)

    def losses(self, batch: Tensor) -> Losses:
        pretext, inputs = self.data.pretext, self.data.assets.take(batch)
        inputs = self.model.encoder.changed(inputs, pretext.augment(inputs))
        shares = [(batch, 1.0)]  # of the labels of these assets
        if pretext.mixup is not None:
            inputs, order, share = pretext.mixup(inputs)
            shares = [(batch, share), (batch[order], 1 - share)]
        pooled = self.model.encoder.encode(inputs).pooled  # [B, D]
        losses: Losses = {}
        for name, objective in self.data.objectives.items():
            logits = self.model.heads[name](pooled)
            for rows, share in shares:
                loss = objective.loss(logits, objective.targets[rows], self.options.label_smoothing)
                losses[name] = losses.get(name, 0) + share * objective.weight * loss
        if pretext.losses is not None:
            losses |= pretext.losses(self.model.encoder, inputs)
        return losses

    def validate(self) -> Validation:
        """Return the metric of each objective on the assets of the validation split."""
        result: dict = {}
        for name, found in self._measure(self.data.rows["validation"]).items():
            result.setdefault(found.metric, {})[name] = found.value
        return result

    def compare(self) -> tuple[Measurements, Measurements]:
        train, validation = self.data.rows["train"], self.data.rows["validation"]
        some = train[some_of(len(train), len(validation))]
        return self._measure(some), self._measure(validation)

    def _measure(self, rows: Tensor) -> dict[str, Measured]:
        """Return the metric of each objective on some assets that have its target."""
        pooled = encode(self.model.encoder, self.data.assets.tensors, rows).pooled
        result = {}
        for name, objective in self.data.objectives.items():
            targets = objective.targets[rows]
            known = objective.known(targets)
            if known.any():
                logits = self.model.heads[name](pooled)
                value = objective.validate(logits[known], targets[known])
                result[name] = Measured(objective.metric, value, int(known.sum()))
        return result


def split_rows(assets: AssetTensors, samples: pd.DataFrame, modality: str) -> dict[str, Tensor]:
    """Return the rows of the assets in each split, int64 [n]."""
    ids = samples.groupby(SPLIT)[asset_column(modality)].unique()
    return {
        split: assets.rows(pd.Series(ids.get(split, []), dtype="str").dropna()) for split in SPLITS
    }


def decided_tasks(
    modality: str, tasks: Mapping[str, TaskSettings], vocabulary: Mapping[str, Vocabulary]
) -> dict[str, Task]:
    """Return the tasks that the modality alone decides, without generative ones.

    Those may have several right texts per asset, and are learnt in the stage `train`.
    """
    return {
        name: head_of(task.kind)(**vocabulary[name])
        for name, task in with_heads(tasks).items()
        if modality in task.sufficient_modalities and not head_of(task.kind).IS_GENERATIVE
    }


def task_objectives(
    modality: str,
    assets: AssetTensors,
    samples: pd.DataFrame,
    tasks: Mapping[str, TaskSettings],
    vocabulary: Mapping[str, Vocabulary],
    is_soft: bool = False,
) -> dict[str, Objective]:
    """Return an objective per task of `decided_tasks`.

    With `is_soft` an asset that has several classes keeps all of them.
    """
    objectives, rows = {}, split_rows(assets, samples, modality)["train"]
    for name, task in decided_tasks(modality, tasks, vocabulary).items():
        settings = with_heads(tasks)[name]
        votes = label_votes(samples, modality, settings.column, task.to_text)
        targets = task.targets(assets.align(majority_labels(votes)))
        if is_soft and isinstance(task, ClassTask) and votes["asset"].duplicated().any():
            task, targets = task.soft(), soft_targets(task, votes, assets)
        objectives[name] = replace(
            task_objective(task, targets, settings.weight),
            loss=balanced_loss(task, settings, targets[rows]),
            sampled=sampled_classes(task, settings, targets),
        )
    return objectives


def task_objective(task: Task, targets: Tensor, weight: float) -> Objective:
    """Return the objective of a task."""
    return Objective(
        targets=targets,
        outputs=task.outputs,
        weight=weight,
        loss=task.loss,
        known=task.known,
        metric=task.VALIDATION,
        validate=task.validate,
    )


def self_supervised(data: EncoderData) -> EncoderData:
    """Return the data for an encoder without objectives: two views of an asset are to agree."""
    view = data.pretext.view
    if data.objectives or data.pretext.losses is not None or view is None:
        return data

    def losses(encoder: Encoder, batch: Batch) -> Losses:
        first, second = (encoder(**view(batch)).pooled for _ in range(2))  # [B, D]
        return {VIEWS: nt_xent(first, second, SIMCLR_INVERSE_TEMPERATURE)}

    log.info("features_%s: no label trains the encoder, so SimCLR does", data.modality)
    return replace(data, pretext=Pretext(losses=losses))


def train_encoder(
    model: EncoderWithHeads, data: EncoderData, options: EncoderSettings, seed: int, checkpoint
) -> pd.DataFrame:
    """Train an encoder in place, if there are assets and something to learn; return the history."""
    label = f"features_{data.modality}"
    if not len(data.rows["train"]):
        return skip(label, f"no training sample has {data.modality}")
    if not data.objectives and data.pretext.losses is None:
        return skip(label, f"no label, and no self-supervision of {data.modality}")
    run = EncoderTraining(
        optimizer=options,
        seed=seed,
        checkpoint=checkpoint,
        data=data,
        model=model,
        options=options,
    )
    return launch(partial(train, run), processes_for(run)).history


def processes_for(run: EncoderTraining) -> int:
    """Return how many processes train an encoder; one if all assets of a batch are compared.

    Raises:
        InputError: settings want more than that one.
    """
    data, options = run.data, run.options
    if data.pretext.losses is None:
        return processes_of(options, options, len(data.rows["train"]))
    if (options.processes or 1) > 1:
        raise InputError(
            f"features.{data.modality}.processes: found {options.processes}, but this encoder "
            "learns by comparing all assets of a batch, which one process has to hold. Set it to "
            "null or 1"
        )
    return 1
