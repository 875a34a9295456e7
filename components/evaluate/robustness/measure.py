"""Metrics of predictions whose media are corrupted."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from components.data.samples import SAMPLE_ID, modalities_named
from components.data.tables import concat_tables
from components.evaluate.measure import KEY, TasksMetrics, contributions, most_modalities
from components.evaluate.robustness.corruptions import CORRUPTIONS, Suite, group
from components.evaluate.tables import ROBUSTNESS

EVERYTHING = "everything"  # as a subset: all modalities that each sample has

Corrupt = Callable[[str, bytes], bytes | None]  # asset id and content → other content, or none
PredictCorrupted = Callable[[str, Corrupt], pd.DataFrame]  # after a modality's assets have changed


def with_everything(predictions: pd.DataFrame, metrics: TasksMetrics) -> pd.DataFrame:
    """Return `contributions`, and as subset `everything` the predictions from most modalities."""
    found = contributions(predictions, metrics)
    return pd.concat([found, most_modalities(found).assign(subset=EVERYTHING)])


def compare(clean: pd.DataFrame, corrupted: pd.DataFrame, modality: str) -> pd.DataFrame:
    """Return primary metrics on clean and corrupted media, over the predictions that both have.

    Where some predictions are missing with their assets, only `everything` is compared, since no
    complete subset with the corrupted modality has changed. Both tables are from `with_everything`.

    Returns:
        By task and subset: `clean` and `corrupted`, 1 where there was nothing to decide, and the
        fraction `answered` of the clean predictions.
    """
    both = clean.merge(corrupted, on=[SAMPLE_ID, *KEY], suffixes=("_clean", "_corrupted"))
    total = clean.groupby(KEY, sort=False).size()
    found = pd.DataFrame(
        {
            "clean": _primary_metrics(both, "clean"),
            "corrupted": _primary_metrics(both, "corrupted"),
            "answered": (both.groupby(KEY, sort=False).size() / total).fillna(0.0),
        }
    ).dropna()
    names = found.index.get_level_values("subset")
    affected = np.array([modality in modalities_named(subset) for subset in names], dtype=bool)
    return found[(affected & (found["answered"] == 1)) | (names == EVERYTHING)]


def _primary_metrics(both: pd.DataFrame, side: str) -> pd.Series:
    columns = [f"numerator_{side}", f"denominator_{side}"]
    sums = both.groupby(KEY, sort=False)[columns].sum()
    return (sums[columns[0]] / sums[columns[1]]).fillna(1.0)


def measure_robustness(
    metrics: TasksMetrics, predictions: pd.DataFrame, predict: PredictCorrupted, suite: Suite
) -> pd.DataFrame:
    """Return primary metrics, clean (from `predictions`) and corrupted, a table as `ROBUSTNESS`."""
    clean, parts = with_everything(predictions, metrics), []
    for name, severity in suite:
        corruption = CORRUPTIONS[name]
        predicted = predict(corruption.modality, partial(corruption, severity))
        corrupted = with_everything(predicted, metrics)
        rows = compare(clean, corrupted, corruption.modality).reset_index()
        metric = [metrics[task].primary().name for task in rows["task"]]
        labels = {"group": group(name), "corruption": name, "severity": severity, "metric": metric}
        parts.append(rows.assign(**labels))
    return concat_tables(parts, ROBUSTNESS)


def summary(table: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return from a table as `ROBUSTNESS` the mean performance by group, task and subset.

    After Michaelis et al. 2019: the mean over severities, then over corruptions (equation 1);
    `relative` is its ratio to the clean performance (equation 2), left out where that is 0.
    """
    by = ["group", *KEY]
    values = table.groupby([*by, "corruption"], sort=False)[["clean", "corrupted"]].mean()
    result: dict = {}
    means = values.groupby(level=by, sort=False).mean()
    for (name, task, subset), clean, corrupted in means.itertuples():
        found = {"clean": float(clean), "corrupted": float(corrupted)}
        if found["clean"]:
            found["relative"] = found["corrupted"] / found["clean"]
        result.setdefault(name, {}).setdefault(task, {})[subset] = found
    return result
