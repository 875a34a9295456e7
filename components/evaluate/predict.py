"""The model's answers on a split, for every subset of modalities."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd
import torch

from components.common.errors import InputError
from components.data.assets import AssetTensors
from components.data.batch import Samples, make_samples
from components.data.tables import PREDICTIONS, SAMPLES, read_table
from components.fusion.output import FeaturesByModality
from components.layers.features import encode
from components.modalities.registry import MODALITIES, Modality
from components.model.multimodal import MultimodalModel
from components.tasks.settings import TaskSettings

BATCH = 1024  # samples at a time


def subsets() -> Iterator[tuple[Modality, ...]]:
    """Every subset of the modalities but the empty one: first the single ones, all of them last."""
    for size in range(1, len(MODALITIES) + 1):
        yield from combinations(MODALITIES, size)


def held_out(path: Path, learnt: Sequence[Modality]) -> pd.DataFrame:
    """The test split of the samples.

    Raises:
        InputError: none of them has a modality that the model learnt from.
    """
    samples = read_table(path, SAMPLES)
    test = samples[samples["split"] == "test"]
    if not test[[f"{m}_id" for m in learnt]].notna().any(axis=None):
        raise InputError(
            f"{path} holds no sample of the test split with {' or '.join(learnt)}, "
            "which the model learnt from. See ingest.splits in params.yaml"
        )
    return test


@torch.no_grad()
def predict(
    model: MultimodalModel,
    table: pd.DataFrame,
    assets: Mapping[Modality, AssetTensors],
    tasks: Mapping[str, TaskSettings],
) -> pd.DataFrame:
    """Predictions for every sample, subset of modalities and task that can be asked.

    Args:
        model: in evaluation mode.
        table: the samples of one split.
        assets: the tensors of every modality that the model learnt.
        tasks: the tasks, by name.

    Returns:
        A table as `PREDICTIONS`: a row wherever all modalities of the subset are there, the label
        is known and the subset can decide the task.
    """
    assets_used, samples = make_samples(table, assets, {}, model.kinds).compact()
    features = {
        m: encode(model.encoders[m], assets[m].tensors, rows) for m, rows in assets_used.items()
    }
    return answer(model, table, features, samples, tasks)


@torch.no_grad()
def answer(
    model: MultimodalModel,
    table: pd.DataFrame,
    features: FeaturesByModality,
    samples: Samples,
    tasks: Mapping[str, TaskSettings],
) -> pd.DataFrame:
    """`predict`, once the assets are encoded.

    Args:
        model: in evaluation mode.
        table: the samples of one split.
        features: of distinct assets.
        samples: the same samples, with rows into `features`.
        tasks: the tasks, by name; the model has a head for each.
    """
    ids = table["sample_id"].to_numpy()
    labelled = {
        name: torch.tensor(table[task.column].notna().to_numpy()) for name, task in tasks.items()
    }
    written = {
        name: table[task.column].map(model.kinds[name].written, na_action="ignore").to_numpy()
        for name, task in tasks.items()
    }
    parts = []
    for subset in subsets():
        wanted = torch.tensor([m in subset for m in MODALITIES])
        complete = (samples.presence | ~wanted).all(1).nonzero().squeeze(1)  # [n]
        for index in complete.split(BATCH) if len(complete) else ():
            part = samples[index].keep(wanted.expand(len(index), -1))
            distinct, part = part.compact()
            logits = model({m: features[m][rows] for m, rows in distinct.items()}, part.rows)
            for task in tasks:
                known = labelled[task][index] & model.config.answerable(task, part.presence)
                answers = model.kinds[task].record(logits[task][known])
                parts.append(
                    pd.DataFrame(
                        {
                            "sample_id": ids[index[known]],
                            "subset": "+".join(subset),
                            "task": task,
                            "target": written[task][index[known]],
                            "prediction": answers.values,
                            "confidence": answers.confidence or float("nan"),
                        }
                    )
                )
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or [pd.DataFrame(columns=list(PREDICTIONS.columns))])
