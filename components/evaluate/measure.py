"""Figures from a table of predictions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from components.common.metrics import DEFINITIONS, SLICES, Metric, definitions
from components.data.samples import SAMPLE_ID, asset_column, modalities_named
from components.modalities.registry import MODALITIES
from components.model.multimodal import MultimodalModel
from components.tasks.metrics import TaskMetrics, quotient
from components.tasks.registry import metrics_of
from components.tasks.retrieval.metrics import rank_metrics
from components.tasks.retrieval.settings import RetrievalSettings
from components.tasks.settings import TaskSettings

CEILING = "ceiling"
KEY = ["task", "subset"]

Values = dict[str, dict[str, dict[str, float]]]  # metric → task → subset or direction → value
TasksMetrics = Mapping[str, TaskMetrics]


def metrics_by_task(model: MultimodalModel) -> dict[str, TaskMetrics]:
    """Return the metrics of each task of a model."""
    tasks = model.config.tasks.items()
    return {name: metrics_of(config.kind)(model.tasks[name]) for name, config in tasks}


def by_task(predictions: pd.DataFrame, metrics: TasksMetrics) -> Values:
    """Return every metric by task and subset of modalities, in order of appearance."""
    result: Values = {}
    for task, subset, rows in _groups(predictions):
        for metric, value in metrics[task].compute(rows).items():
            result.setdefault(metric, {}).setdefault(task, {})[subset] = value
    return result


def retrieval(ranks: pd.DataFrame, tasks: Mapping[str, TaskSettings]) -> Values:
    """Return every metric of a table as `RANKS` by task and direction, such as `text to image`."""
    directions = {n: t.direction for n, t in tasks.items() if isinstance(t, RetrievalSettings)}
    result: Values = {}
    for task, rows in ranks.groupby("task", sort=False):
        for metric, value in rank_metrics(rows["rank"].tolist()).items():
            result.setdefault(metric, {})[str(task)] = {directions[str(task)]: value}
    return result


def ceilings(predictions: pd.DataFrame, samples: pd.DataFrame, metrics: TasksMetrics) -> dict:
    """Return by task and subset the highest primary metric that is possible on these samples.

    Samples with the same assets get the same prediction, so at best the most frequent label among
    them. Where it is low, the assets do not determine the label.
    """
    limited = [task for task, metric in metrics.items() if metric.HAS_CEILING]
    ids = [SAMPLE_ID, *map(asset_column, MODALITIES)]
    joined = predictions[predictions["task"].isin(limited)].merge(samples[ids], on=SAMPLE_ID)
    result: dict[str, dict[str, float]] = {}
    for task, subset, rows in _groups(joined):
        assets = [asset_column(m) for m in modalities_named(subset)]
        counts = rows.groupby([*assets, "target"]).size()
        best = counts.groupby(level=list(range(len(assets)))).max().sum()
        result.setdefault(task, {})[subset] = float(best / len(rows))
    return result


def by_slice(
    predictions: pd.DataFrame, samples: pd.DataFrame, slices: Sequence[str], metrics: TasksMetrics
) -> dict:
    """Return the primary metric by task, column, value and subset of modalities."""
    result: dict = {}
    for column in slices:
        values = predictions[SAMPLE_ID].map(samples.set_index(SAMPLE_ID)[column])
        by = [predictions["task"], values, predictions["subset"]]
        for (task, value, subset), rows in predictions.groupby(by, sort=True):
            sums = (part.sum() for part in metrics[str(task)].contributions(rows))
            of_column = result.setdefault(task, {}).setdefault(column, {})
            of_column.setdefault(value, {})[subset] = float(quotient(*sums))
    return result


def figures(
    predictions: pd.DataFrame,
    samples: pd.DataFrame,
    slices: Sequence[str],
    metrics: TasksMetrics,
    others: Values | None = None,
    other_metrics: Sequence[Metric] = (),
) -> dict[str, Any]:
    """Return the content of a file of figures: every metric, ceilings, slices and definitions.

    Args:
        slices: columns to break figures down by.
        others: further metrics.
        other_metrics: definitions of those of them that models are judged by.
    """
    content = by_task(predictions, metrics) | (others or {})
    known = [metric for task in metrics.values() for metric in task.DEFINITIONS]
    return {
        **content,
        CEILING: ceilings(predictions, samples, metrics),
        SLICES: by_slice(predictions, samples, slices, metrics),
        DEFINITIONS: definitions(m for m in [*known, *other_metrics] if m.name in content),
    }


def contributions(predictions: pd.DataFrame, metrics: TasksMetrics) -> pd.DataFrame:
    """Return what each prediction adds to `numerator` and `denominator` of its primary metric.

    The metric is the quotient of their sums.
    """
    columns = [SAMPLE_ID, *KEY]
    parts = []
    for task, rows in predictions.groupby("task", sort=False):
        numerator, denominator = metrics[str(task)].contributions(rows)
        parts.append(rows[columns].assign(numerator=numerator, denominator=denominator))
    empty = predictions.reindex(columns=[*columns, "numerator", "denominator"])
    return pd.concat(parts or [empty])


def most_modalities(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return for each sample and task the prediction from the most modalities."""
    return predictions.drop_duplicates([SAMPLE_ID, "task"], keep="last")


def _groups(predictions: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    for (task, subset), rows in predictions.groupby(KEY, sort=False):
        yield str(task), str(subset), rows
