"""How good a model's answers are when their media are corrupted."""

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from components.evaluate.robustness import Suite, corruption, missing
from components.modalities.registry import Modality
from components.tasks.task import Kind

EVERYTHING = "everything"  # as a subset: for each sample whatever modalities it has
MISSING = "missing"  # as a group

Spoil = Callable[[str, bytes], bytes | None]  # an asset's id and content → another content, or none
Again = Callable[[Modality, Spoil], pd.DataFrame]

KEY = ["task", "subset"]
COLUMNS = ["group", "corruption", "severity", *KEY, "metric", "clean", "corrupted", "answered"]


def views(kinds: Mapping[str, Kind], predictions: pd.DataFrame) -> pd.DataFrame:
    """What each prediction adds to its task's metric, by subset of modalities and for everything.

    Returns:
        `sample_id`, `task`, `subset`, `part` and `whole`: a metric is the quotient of their sums.
    """
    parts = []
    for task, rows in predictions.groupby("task", sort=False):
        part, whole = kinds[task].shares(rows)
        parts.append(rows[["sample_id", *KEY]].assign(part=part, whole=whole))
    found = pd.concat(parts or [predictions.reindex(columns=["sample_id", *KEY, "part", "whole"])])
    fullest = found.drop_duplicates(["sample_id", "task"], keep="last").assign(subset=EVERYTHING)
    return pd.concat([found, fullest])


def quotient(rows: pd.DataFrame, suffix: str = "") -> pd.Series:
    """The metric by task and subset; 1 where there was nothing to decide, as the kinds have it."""
    sums = rows.groupby(KEY, sort=False)[[f"part{suffix}", f"whole{suffix}"]].sum()
    return (sums[f"part{suffix}"] / sums[f"whole{suffix}"]).fillna(1.0)


def compare(clean: pd.DataFrame, spoilt: pd.DataFrame, modality: Modality) -> pd.DataFrame:
    """The metrics of two tables as `views` gives them, over the questions that both answer.

    Where some answers have gone with their assets, only everything that is left is compared: no
    subset that has the modality has changed.

    Returns:
        By task and subset: `clean`, `corrupted`, and the share `answered` of the clean answers.
    """
    both = clean.merge(spoilt, on=["sample_id", *KEY], suffixes=("_clean", "_spoilt"))
    asked = clean.groupby(KEY, sort=False).size()
    found = pd.DataFrame(
        {
            "clean": quotient(both, "_clean"),
            "corrupted": quotient(both, "_spoilt"),
            "answered": (both.groupby(KEY, sort=False).size() / asked).fillna(0.0),
        }
    ).dropna()
    names = found.index.get_level_values("subset")
    whole = names.str.split("+").map(lambda subset: modality in subset) & (found["answered"] == 1)
    return found[whole | (names == EVERYTHING)]


def measure(
    kinds: Mapping[str, Kind], predictions: pd.DataFrame, again: Again, suite: Suite
) -> pd.DataFrame:
    """The metric by which each task's models are compared, clean and under each corruption.

    Args:
        kinds: of the model's tasks.
        predictions: a table as `PREDICTIONS`, of clean media.
        again: makes the same table after each asset of one modality is replaced.
        suite: the corruptions.

    Returns:
        `COLUMNS`: the group is the corruption's modality, or "missing".
    """
    clean = views(kinds, predictions)
    parts = [pd.DataFrame(columns=COLUMNS)]
    for name, severity in suite:
        spoil = corruption(name, severity)
        spoilt = again(spoil.modality, partial(spoil, severity))
        found = compare(clean, views(kinds, spoilt), spoil.modality).reset_index()
        group = MISSING if name in missing.CORRUPTIONS else spoil.modality
        metric = [kinds[task].COMPARED for task in found["task"]]
        parts.append(
            found.assign(group=group, corruption=name, severity=severity, metric=metric)[COLUMNS]
        )
    return pd.concat(parts[1:] or parts, ignore_index=True)


def summary(table: pd.DataFrame) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Mean performance under corruption by group, task and subset (Michaelis et al. 2019).

    It is the mean over a corruption's severities, and of these the mean over the corruptions
    (equation 1); `relative` is its share of the clean performance (equation 2), left out where
    that is 0.

    Args:
        table: from `measure`.
    """
    by = ["group", *KEY]
    values = table.groupby([*by, "corruption"], sort=False)[["clean", "corrupted"]].mean()
    result: dict = {}
    for (group, task, subset), row in values.groupby(level=by, sort=False).mean().iterrows():
        found = {"clean": float(row["clean"]), "corrupted": float(row["corrupted"])}
        if found["clean"]:
            found["relative"] = found["corrupted"] / found["clean"]
        result.setdefault(group, {}).setdefault(task, {})[subset] = found
    return result
