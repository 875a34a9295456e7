"""The test split as raw media, predictions of any model for it, and clusters of those."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
import torch

from components.common.errors import InputError
from components.data.assets import MISSING
from components.data.batches import Samples
from components.data.samples import SAMPLE_ID, asset_column, modalities_named
from components.data.shards import read_assets
from components.evaluate.measure import KEY, TasksMetrics, contributions
from components.evaluate.predict import predict_encoded
from components.evaluate.robustness.measure import Corrupt
from components.evaluate.tables import CONTRIBUTIONS
from components.layers.features import Features
from components.modalities.registry import MODALITIES, modality
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.tasks.registry import with_heads
from components.tasks.settings import HeadTaskSettings, TaskSettings


@dataclass(frozen=True)
class TestSet:
    """Samples of the test split and their media."""

    __test__ = False  # not a class of tests

    table: pd.DataFrame
    media: Path  # folder, one media shard set per modality
    tasks: Mapping[str, HeadTaskSettings]  # that the model has a head for
    group: str  # what splits keep together, as in `ingest.splits.group`


@dataclass(frozen=True)
class EncodedAssets:
    """Features of assets of a modality, in the order of `ids`."""

    ids: tuple[str, ...]
    features: Features


def known_tasks(
    model: MultimodalModel, tasks: Mapping[str, TaskSettings]
) -> dict[str, HeadTaskSettings]:
    """Return the tasks that the model has a head for, of the same kind."""
    heads, wanted = model.config.tasks, with_heads(tasks)
    return {n: task for n, task in wanted.items() if n in heads and heads[n].kind == task.kind}


@torch.no_grad()
def encode_assets(
    predictor: Predictor, m: str, test_set: TestSet, corrupt: Corrupt | None = None
) -> EncodedAssets | None:
    """Read, process and encode each asset of a modality once; None if there is none.

    Args:
        corrupt: gives each asset other content, or none: then it is missing.

    Raises:
        InputError: an asset is not in the shard set.
    """
    encoder, processor = predictor.model.encoder(m), predictor.processors[m]
    wanted = set(test_set.table[asset_column(m)].dropna())
    assets = read_assets(test_set.media / m, wanted)
    if corrupt is not None:
        changed = ((asset, corrupt(asset, content)) for asset, content in assets)
        assets = ((asset, content) for asset, content in changed if content is not None)
    ids, parts = [], []
    while batch := list(islice(assets, encoder.max_batch_size)):
        inputs = processor([content for _, content in batch])
        ids += [asset for asset, _ in batch]
        parts.append(encoder(**{name: torch.as_tensor(v) for name, v in inputs.items()}))
    if corrupt is None and (lost := wanted.difference(ids)):
        raise InputError(
            f"{test_set.media / m} lacks {len(lost)} assets of the test split, the first is "
            f"{min(lost)}. Samples and media are from different runs; run: dvc repro"
        )
    return EncodedAssets(tuple(ids), Features.cat(parts)) if parts else None


def predict_test_set(
    model: MultimodalModel, test_set: TestSet, encoded: Mapping[str, EncodedAssets | None]
) -> pd.DataFrame:
    """Return the predictions from encoded assets, a table as `PREDICTIONS`."""
    rows = {}
    for m in model.config.modalities:
        found = encoded.get(m)
        places = pd.Series(range(len(found.ids)), found.ids) if found else pd.Series(dtype="int64")
        column = test_set.table[asset_column(m)].map(places).fillna(MISSING)
        rows[m] = torch.tensor(column.astype("int64").to_numpy())
    features = {m: found.features for m, found in encoded.items() if found is not None}
    return predict_encoded(model, test_set.table, features, Samples(rows, {}), test_set.tasks)


def raw_rows(predictor: Predictor, test_set: TestSet, count: int) -> pd.DataFrame:
    """Return the raw media of up to `count` samples with the most modalities, as callers send them.

    A column per modality of the model holds texts of inline modalities, else bytes of files.
    """
    modalities = predictor.model.config.modalities
    columns = list(map(asset_column, modalities))
    given = test_set.table[columns].notna().sum(axis=1)
    rows = test_set.table[given == given.max()].head(count)
    result = {}
    for m, column in zip(modalities, columns, strict=True):
        contents = dict(read_assets(test_set.media / m, set(rows[column].dropna())))
        values = rows[column].map(contents)
        inline = modality(m).is_inline
        result[m] = values.map(bytes.decode, na_action="ignore") if inline else values
    return pd.DataFrame(result).reset_index(drop=True)


def clusters(table: pd.DataFrame, subset: str, group: str) -> pd.Series:
    """Return the cluster of each sample if a subset such as `image-text` is given, by sample id.

    Predictions of a cluster are right or wrong together. Clusters are the groups that splits keep
    together; where the subset or the table has no such group, samples with the same assets.
    """
    by_id, given = table.set_index(SAMPLE_ID), modalities_named(subset)
    parts = by_id[[asset_column(m) for m in given]].fillna("")
    assets = parts.iloc[:, 0].str.cat(parts.iloc[:, 1:], sep="+")
    if group in MODALITIES:
        return by_id[asset_column(group)] if group in given else assets
    return by_id[group].astype("str").fillna(assets) if group in by_id else assets


def cluster_contributions(
    predictions: pd.DataFrame, metrics: TasksMetrics, test_set: TestSet
) -> pd.DataFrame:
    """Return what each cluster adds to the primary metric of its task, as `CONTRIBUTIONS`."""
    rows = []
    added = contributions(predictions, metrics)
    for (task, subset), found in added.groupby(KEY, sort=False):
        cluster = found[SAMPLE_ID].map(clusters(test_set.table, str(subset), test_set.group))
        sums = found[["numerator", "denominator"]].groupby(cluster.to_numpy()).sum()
        rows.append(sums.rename_axis("cluster").reset_index().assign(task=task, subset=subset))
    columns = list(CONTRIBUTIONS.columns)
    return pd.concat(rows or [pd.DataFrame(columns=columns)])[columns]
