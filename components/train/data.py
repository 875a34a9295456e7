"""What joint training trains on: samples, their assets, and how they become batches."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from components.data.assets import AssetTensors, load_assets
from components.data.batches import Samples, asset_rows
from components.data.samples import SPLIT, SPLITS
from components.layers.features import Encoder, Features
from components.modalities.encoding import Batch, Change
from components.model.multimodal import MultimodalModel
from components.tasks.registry import with_heads
from components.tasks.settings import HeadTaskSettings, TaskSettings
from components.train.mixup import Mixing, blend_pairs
from components.train.settings import TrainSettings
from components.training.class_sampling import draw_evenly


@dataclass(frozen=True)
class TrainingData:
    """What a model is trained on."""

    model: MultimodalModel
    assets: Mapping[str, AssetTensors]  # by modality: features if the encoder is frozen, or inputs
    samples: Mapping[str, Samples]  # by split
    tasks: Mapping[str, HeadTaskSettings]  # those that a head learns
    settings: TrainSettings
    # Changes of the inputs of encoders in training, by modality.
    augment: Mapping[str, Change] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Device of the model; samples and assets are in main memory."""
        return self.model.readout.device

    def batches(self, index: Tensor | None = None, classes: Tensor | None = None) -> list[Tensor]:
        """Return training samples in random order as batches, int64 each.

        An asset of the modality `group_by` is in one batch with all its samples, unless classes are
        to be drawn equally often: then there are as many batches of single samples.

        Args:
            index: the samples, int64 [n]; by default all of them.
            classes: of all training samples, as `draw_evenly` takes them.
        """
        train = self.samples["train"]
        index = torch.arange(len(train)) if index is None else index
        group = _groups(train, self.settings.group_by, index)  # [n]
        groups = int(group.max()) + 1
        count = max(1, round(groups / self.settings.batch_size))
        if classes is not None:
            return list(index[draw_evenly(classes[index], len(index))].tensor_split(count))
        rank = torch.randperm(groups)[group]  # a random order of the groups, [n]
        order = rank.argsort(stable=True)
        bounds = torch.arange(1, count) * groups // count
        return list(index[order].tensor_split(torch.searchsorted(rank[order], bounds)))

    def labelled(self, task: str) -> Tensor:
        """Return the training samples whose label is known and can be decided, int64 [n]."""
        known = self.model.tasks[task].known(self.targets(task))
        return known.nonzero().squeeze(1)

    def targets(self, task: str) -> Tensor:
        """Return the targets of the training samples, unknown where they cannot be decided."""
        return decidable_targets(self.model, task, self.samples["train"])

    def logits(self, samples: Samples) -> dict[str, Any]:
        """Return logits by task; each distinct asset is read once."""
        distinct, compact = samples.compact()
        rows = {m: rows.to(self.device) for m, rows in compact.rows.items()}
        return self.model(self.features(distinct), rows)

    def blended_logits(self, samples: Samples, partners: Samples, mixing: Mixing) -> dict[str, Any]:
        """Return logits by task of samples that are blended with their partners."""
        pairs = {m: torch.cat([rows, partners.rows[m]]) for m, rows in samples.rows.items()}
        distinct, compact = Samples(pairs, {}).compact()
        features, rows = blend_pairs(self.features(distinct), compact.rows, mixing)
        return self.model(features, {m: places.to(self.device) for m, places in rows.items()})

    def features(self, distinct: Mapping[str, Tensor]) -> dict[str, Features]:
        """Return features of assets by modality: stored ones, or of an encoder in training."""
        selected = {m: self._inputs(m, rows) for m, rows in distinct.items()}
        trained = {m: v for m, v in selected.items() if not self.settings.is_frozen(m)}
        encoded = self.model.encode(trained)
        return {
            m: encoded[m] if m in encoded else Features.from_tensors(selected[m]) for m in selected
        }

    def _inputs(self, modality: str, rows: Tensor) -> Batch:
        """Return assets on the device; those of an encoder in training are augmented in steps."""
        batch = self.assets[modality].take(rows)
        if self.model.training and modality in self.augment:
            encoder = self.model.encoder(modality)
            batch = encoder.changed(batch, self.augment[modality](batch))
        return {name: value.to(self.device) for name, value in batch.items()}


def decidable_targets(model: MultimodalModel, task: str, samples: Samples) -> Tensor:
    """Return the targets of samples [n, …], unknown where their modalities cannot decide them."""
    decided = model.config.answerable(task, samples.presence)
    return model.tasks[task].hide(samples.targets[task], ~decided)


def _groups(samples: Samples, modality: str, index: Tensor) -> Tensor:
    """Return the group of each of some samples, int64 [n]; one without the modality is alone."""
    if modality not in samples.rows:
        return torch.arange(len(index))
    assets = samples.rows[modality][index]
    alone = torch.arange(len(assets)) + int(assets.max()) + 1
    return torch.where(assets >= 0, assets, alone).unique(return_inverse=True)[1]


def _inputs_of(encoder: Encoder, folder: Path) -> AssetTensors:
    """Read the inputs of an encoder in training; plain features do not change in it."""
    assets = load_assets(folder)
    if encoder.plain is None:
        return assets
    return replace(assets, tensors=encoder.plain.add_to(assets.tensors))


def training_data(
    model: MultimodalModel,
    table: pd.DataFrame,
    tasks: Mapping[str, TaskSettings],
    settings: TrainSettings,
    tensors: Path,
    features: Path,
) -> TrainingData:
    """Read what a model is trained on; the folders have a shard set per modality."""
    modalities, heads = model.config.modalities, with_heads(tasks)
    assets = {
        m: load_assets(features / m)
        if settings.is_frozen(m)
        else _inputs_of(model.encoder(m), tensors / m)
        for m in modalities
    }
    samples = {}
    for split in SPLITS:
        rows = table[table[SPLIT] == split]
        targets = {n: model.tasks[n].targets(rows[task.column]) for n, task in heads.items()}
        samples[split] = Samples(asset_rows(rows, assets, modalities), targets)
    return TrainingData(model, assets, samples, heads, settings)
