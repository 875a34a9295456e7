"""Held-out samples as raw media, predictions of any model for it, and clusters of those."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pandas as pd
import torch

from components.data.assets import MISSING
from components.data.batches import Samples
from components.data.lost_assets import refuse_lost
from components.data.samples import SAMPLE_ID, asset_column, modalities_named
from components.data.shards import read_assets
from components.data.tables import concat_tables
from components.evaluate.clusters import clusters
from components.evaluate.measure import KEY, TasksMetrics, contributions
from components.evaluate.predict import predict_encoded
from components.evaluate.robustness.measure import Corrupt
from components.evaluate.tables import CONTRIBUTIONS
from components.layers.features import Features
from components.modalities.registry import modality
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.tasks.registry import with_heads
from components.tasks.settings import HeadTaskSettings, TaskSettings


@dataclass(frozen=True)
class TestSet:
    """Held-out samples and their media."""

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


def encode_assets(predictor: Predictor, m: str, test_set: TestSet) -> EncodedAssets | None:
    """Read, process and encode each asset of a modality once; None if there is none.

    Raises:
        InputError: an asset is not in the shard set.
    """
    wanted = set(test_set.table[asset_column(m)].dropna())
    found = _encode(predictor, m, read_assets(test_set.media / m, wanted))
    refuse_lost(test_set.media / m, wanted.difference(found.ids if found else ()))
    return found


@torch.no_grad()
def _encode(
    predictor: Predictor, m: str, assets: Iterator[tuple[str, bytes]]
) -> EncodedAssets | None:
    encoder, processor = predictor.model.encoder(m), predictor.processor(m)
    ids, parts = [], []
    while batch := list(islice(assets, encoder.max_batch_size)):
        inputs = processor([content for _, content in batch])
        ids += [asset for asset, _ in batch]
        parts.append(encoder.encode({name: torch.as_tensor(v) for name, v in inputs.items()}))
    return EncodedAssets(tuple(ids), Features.cat(parts)) if parts else None


def predict_test_set(
    model: MultimodalModel,
    test_set: TestSet,
    encoded: Mapping[str, EncodedAssets | None],
    containing: str | None = None,
) -> pd.DataFrame:
    """Return the predictions from encoded assets, a table as `PREDICTIONS`; see `predict`."""
    rows = {}
    for m in model.config.modalities:
        found = encoded.get(m)
        places = pd.Series(range(len(found.ids)), found.ids) if found else pd.Series(dtype="int64")
        column = test_set.table[asset_column(m)].map(places).fillna(MISSING)
        rows[m] = torch.tensor(column.astype("int64").to_numpy())
    features = {m: found.features for m, found in encoded.items() if found is not None}
    samples = Samples(rows, {})
    return predict_encoded(model, test_set.table, features, samples, test_set.tasks, containing)


@dataclass(frozen=True)
class CorruptedPredictions:
    """Predicts the test set after assets of a modality have changed; see `PredictCorrupted`.

    Only what changes is encoded and predicted again: predictions from other assets, and those that
    do not use the modality, are taken from the `clean` ones.
    """

    predictor: Predictor
    test_set: TestSet
    encoded: Mapping[str, EncodedAssets | None]
    clean: pd.DataFrame

    def __call__(self, m: str, corrupt: Corrupt) -> pd.DataFrame:
        assets, changed = self.test_set.table[asset_column(m)], {}

        def others() -> Iterator[tuple[str, bytes]]:
            for asset, content in read_assets(self.test_set.media / m, set(assets.dropna())):
                found = corrupt(asset, content)
                if found != content:
                    changed[asset] = found is not None
                    if found is not None:
                        yield asset, found

        again = _encode(self.predictor, m, others())
        left = assets.isin([asset for asset, is_left in changed.items() if is_left])
        test_set = replace(self.test_set, table=self.test_set.table[left])
        encoded = {**self.encoded, m: again}
        predicted = predict_test_set(self.predictor.model, test_set, encoded, containing=m)
        touched = set(self.test_set.table[SAMPLE_ID][assets.isin(changed)])
        uses = {subset: m in modalities_named(subset) for subset in self.clean["subset"].unique()}
        outdated = self.clean["subset"].map(uses) & self.clean["sample_id"].isin(touched)
        return pd.concat([self.clean[~outdated.astype(bool)], predicted])  # most modalities last


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
    return concat_tables(rows, CONTRIBUTIONS)
