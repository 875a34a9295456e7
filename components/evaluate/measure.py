"""Metrics from a table of predictions."""

from collections.abc import Sequence

import pandas as pd

from components.config.settings import MODALITIES

IDS = [f"{m}_id" for m in MODALITIES]


def accuracy(predictions: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Accuracy by task and subset of modalities, in the order in which they occur."""
    correct = predictions["target"] == predictions["prediction"]
    by = [predictions["task"], predictions["subset"]]
    result: dict[str, dict[str, float]] = {}
    for (task, subset), value in correct.groupby(by, sort=False).mean().items():
        result.setdefault(task, {})[subset] = float(value)
    return result


def ceiling(predictions: pd.DataFrame, samples: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The accuracy that nothing which sees the subset's assets alone can exceed on these samples.

    Samples with the same assets get the same answer, so at best the most frequent label among
    them. Where it is low, the assets do not hold the answer.
    """
    joined = predictions.merge(samples[["sample_id", *IDS]], on="sample_id")
    result: dict[str, dict[str, float]] = {}
    for (task, subset), rows in joined.groupby(["task", "subset"], sort=False):
        assets = [f"{m}_id" for m in subset.split("+")]
        counts = rows.groupby([*assets, "target"]).size()
        best = counts.groupby(level=list(range(len(assets)))).max().sum()
        result.setdefault(task, {})[subset] = float(best / len(rows))
    return result


def by_slice(
    predictions: pd.DataFrame, samples: pd.DataFrame, slices: Sequence[str]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Accuracy by task, column, value and subset of modalities."""
    correct = predictions["target"] == predictions["prediction"]
    result: dict = {}
    for column in slices:
        values = predictions["sample_id"].map(samples.set_index("sample_id")[column])
        by = [predictions["task"], values, predictions["subset"]]
        for (task, value, subset), share in correct.groupby(by, sort=True).mean().items():
            of_column = result.setdefault(task, {}).setdefault(column, {})
            of_column.setdefault(value, {})[subset] = float(share)
    return result
