"""Metrics from a table of predictions."""

from collections.abc import Mapping, Sequence

import pandas as pd

from components.modalities.registry import MODALITIES
from components.tasks.labels import PredictedLabels
from components.tasks.retrieval.labels import rank_metrics
from components.tasks.settings import TaskSettings

IDS = [f"{m}_id" for m in MODALITIES]


def metrics(
    predictions: pd.DataFrame, kinds: Mapping[str, PredictedLabels]
) -> dict[str, dict[str, dict[str, float]]]:
    """Every metric by task and subset of modalities, in the order in which they occur.

    `accuracy` is always there, if only empty.
    """
    result: dict[str, dict[str, dict[str, float]]] = {"accuracy": {}}
    for (task, subset), rows in predictions.groupby(["task", "subset"], sort=False):
        for metric, value in kinds[task].metrics(rows).items():
            result.setdefault(metric, {}).setdefault(task, {})[subset] = value
    return result


def retrieval(
    ranks: pd.DataFrame, tasks: Mapping[str, TaskSettings]
) -> dict[str, dict[str, dict[str, float]]]:
    """Every metric of the retrieval tasks by task and direction, such as `text→image`.

    Args:
        ranks: a table as `RANKS`.
        tasks: by name.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for task, rows in ranks.groupby("task", sort=False):
        direction = f"{tasks[task].query}→{tasks[task].target}"
        for metric, value in rank_metrics(rows["rank"]).items():
            result.setdefault(metric, {})[task] = {direction: value}
    return result


def ceiling(predictions: pd.DataFrame, samples: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The accuracy that nothing which sees the subset's assets alone can exceed on these samples.

    It is that of classification: `predictions` holds no tasks of other kinds.

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
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    slices: Sequence[str],
    kinds: Mapping[str, PredictedLabels],
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """The main metric by task, column, value and subset of modalities."""
    result: dict = {}
    for column in slices:
        values = predictions["sample_id"].map(samples.set_index("sample_id")[column])
        by = [predictions["task"], values, predictions["subset"]]
        for (task, value, subset), rows in predictions.groupby(by, sort=True):
            of_column = result.setdefault(task, {}).setdefault(column, {})
            of_column.setdefault(value, {})[subset] = next(iter(kinds[task].metrics(rows).values()))
    return result
