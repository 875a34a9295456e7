"""Predictions of the model on a split, for every subset of modalities."""

from collections.abc import Mapping
from math import nan

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.data.assets import AssetTensors
from components.data.batches import Samples, asset_rows
from components.data.samples import SAMPLE_ID, subset_name
from components.data.subsets import subsets
from components.data.tables import concat_tables
from components.layers.features import Features, encode
from components.model.multimodal import MultimodalModel
from components.tasks.metrics import PREDICTIONS
from components.tasks.settings import TaskSettings

BATCH_SIZE = 1024  # samples


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
    containing: str | None = None,
) -> pd.DataFrame:
    """Predict as `predict` does, once assets are encoded; `samples` have rows into `features`.

    With `containing`, only for the subsets that contain that modality.
    """
    known, texts = {}, {}  # by task, whether a label is known and its text, [n]
    for name, task in tasks.items():
        labels = table[task.column]
        known[name] = torch.tensor(labels.notna().to_numpy())
        texts[name] = labels.map(model.tasks[name].to_text, na_action="ignore").to_numpy()
    ids, modalities = table[SAMPLE_ID].to_numpy(), model.config.modalities
    parts = []
    for subset in subsets(modalities):
        wanted = torch.tensor([m in subset for m in modalities])
        if containing is not None and containing not in subset:
            continue
        complete = (samples.presence | ~wanted).all(1)  # [n]
        able = (task for task in tasks if model.config.answerable(task, wanted[None]).item())
        asked = {task: (complete & known[task]).nonzero().squeeze(1) for task in able}
        given = samples.keep(wanted.expand(len(table), -1))
        for task, columns in _predict_each_once(model, features, given, asked).items():
            index = asked[task].numpy()
            labels = {"sample_id": ids[index], "subset": subset_name(subset), "task": task}
            parts.append(pd.DataFrame({**labels, "target": texts[task][index], **columns}))
    return concat_tables(parts, PREDICTIONS)


def _predict_each_once(
    model: MultimodalModel,
    features: Mapping[str, Features],
    samples: Samples,
    asked: Mapping[str, Tensor],
) -> dict[str, dict[str, np.ndarray]]:
    """Return the columns `prediction` and `confidence` per task, of the samples `asked`, int64 [k].

    Samples with the same assets have the same predictions, so that each combination is predicted
    once.
    """
    assets = torch.stack(list(samples.rows.values()), 1)  # [n, M]
    used = torch.cat([torch.empty(0, dtype=torch.int64), *asked.values()]).unique()  # [u]
    distinct, place = assets[used].unique(dim=0, return_inverse=True)  # [d, M], [u]
    places = {task: place[torch.searchsorted(used, index)] for task, index in asked.items()}
    columns = {
        task: {
            "prediction": np.full(len(distinct), None),
            "confidence": np.full(len(distinct), nan),
        }
        for task in asked
    }
    for index in torch.arange(len(distinct)).split(BATCH_SIZE) if len(distinct) else ():
        rows = dict(zip(samples.rows, distinct[index].unbind(1), strict=True))
        encoded, batch = Samples(rows, {}).compact()
        logits = model({m: features[m][kept] for m, kept in encoded.items()}, batch.rows)
        for task, made in columns.items():
            wanted = torch.isin(index, places[task])
            predictions = model.tasks[task].record(logits[task][wanted])
            row = index[wanted].numpy()
            made["prediction"][row] = predictions.values
            made["confidence"][row] = predictions.confidence or nan
    return {
        task: {name: values[places[task].numpy()] for name, values in made.items()}
        for task, made in columns.items()
    }
