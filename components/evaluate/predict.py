"""Predictions of the model on a split, for every subset of modalities."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd
import torch

from components.data.assets import AssetTensors
from components.data.batches import Samples, asset_rows
from components.data.samples import SAMPLE_ID, subset_name
from components.layers.features import Features, encode
from components.model.multimodal import MultimodalModel
from components.tasks.metrics import PREDICTIONS
from components.tasks.settings import TaskSettings

BATCH_SIZE = 1024  # samples


def subsets(modalities: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every subset but the empty one: single modalities first, all of them last."""
    for size in range(1, len(modalities) + 1):
        yield from combinations(modalities, size)


@torch.no_grad()
def predict(
    model: MultimodalModel,
    table: pd.DataFrame,
    assets: Mapping[str, AssetTensors],
    tasks: Mapping[str, TaskSettings],
) -> pd.DataFrame:
    """Predict, with a model in evaluation mode, for every sample, subset of modalities and task.

    Returns:
        A table as `PREDICTIONS`: a row wherever the sample has all modalities of the subset, its
        label is known and the subset can decide the task.
    """
    rows = asset_rows(table, assets, model.config.modalities)
    used, samples = Samples(rows, {}).compact()
    features = {m: encode(model.encoder(m), assets[m].tensors, kept) for m, kept in used.items()}
    return predict_encoded(model, table, features, samples, tasks)


@torch.no_grad()
def predict_encoded(
    model: MultimodalModel,
    table: pd.DataFrame,
    features: Mapping[str, Features],
    samples: Samples,
    tasks: Mapping[str, TaskSettings],
) -> pd.DataFrame:
    """Predict as `predict` does, once assets are encoded; `samples` have rows into `features`."""
    known, texts = {}, {}  # by task, whether a label is known and its text, [n]
    for name, task in tasks.items():
        labels = table[task.column]
        known[name] = torch.tensor(labels.notna().to_numpy())
        texts[name] = labels.map(model.tasks[name].to_text, na_action="ignore").to_numpy()
    ids, modalities = table[SAMPLE_ID].to_numpy(), model.config.modalities
    parts = [pd.DataFrame(columns=list(PREDICTIONS.columns))]
    for subset in subsets(modalities):
        wanted = torch.tensor([m in subset for m in modalities])
        complete = (samples.presence | ~wanted).all(1).nonzero().squeeze(1)  # [n]
        for index in complete.split(BATCH_SIZE) if len(complete) else ():
            batch = samples[index].keep(wanted.expand(len(index), -1))
            distinct, batch = batch.compact()
            logits = model({m: features[m][rows] for m, rows in distinct.items()}, batch.rows)
            for task in tasks:
                asked = known[task][index] & model.config.answerable(task, batch.presence)
                made = model.tasks[task].record(logits[task][asked])
                columns = {
                    "sample_id": ids[index[asked]],
                    "subset": subset_name(subset),
                    "task": task,
                    "target": texts[task][index[asked]],
                    "prediction": made.values,
                    "confidence": made.confidence or float("nan"),
                }
                parts.append(pd.DataFrame(columns))
    return pd.concat([part for part in parts if len(part)] or parts[:1])
