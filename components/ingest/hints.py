"""Hints for the data report: which settings suit the data.

They do not depend on the settings themselves, an edit of which would otherwise read all data again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.samples import asset_column
from components.modalities.registry import MODALITIES, modality
from components.tasks.settings import ClassTaskSettings, TaskSettings

KEPT = {"half": 0.5, "nine_tenths": 0.9, "nearly_all": 0.98, "all": 1.0}  # of the labels
MAX_ASSETS = 5000  # from which settings are suggested
IMBALANCE = 10  # times as often as the rarest class


def lengths(samples: Path, assets: Path, tasks: Mapping[str, TaskSettings]) -> dict[str, Any]:
    """Return by modality which length keeps how many of the labels whole, as `KEPT` names them.

    A label counts once for each sample that has it, so that a text of a thousand samples weighs as
    much as they do.
    """
    found = {}
    for m in MODALITIES:
        if limit := modality(m).limit:
            lasting = facts(assets, m)[limit.fact].dropna().sort_values(kind="stable")
            weights = labels_by_asset(samples, tasks, m).reindex(lasting.index).fillna(0)
            if total := weights.sum():
                reached = (weights.cumsum() / total).to_numpy()
                found[m] = {
                    name: float(lasting.iloc[(reached >= part - 1e-9).argmax()])
                    for name, part in KEPT.items()
                }
    return found


def labels_by_asset(samples: Path, tasks: Mapping[str, TaskSettings], m: str) -> pd.Series:
    """Return how many labels samples with an asset have, by asset id."""
    ids, columns = asset_column(m), [task.column for task in tasks.values()]
    table = pd.read_parquet(samples, columns=list(dict.fromkeys([ids, *columns])))
    return table[columns].notna().sum(axis=1).groupby(table[ids]).sum()


def facts(assets: Path, m: str) -> pd.DataFrame:
    """Return the facts about the assets of a modality, by asset id."""
    columns = ["asset_id", *modality(m).measures]
    return pd.read_parquet(assets, columns=columns, filters=[("modality", "==", m)]).set_index(
        "asset_id"
    )


def suggestions(assets: Path) -> list[dict[str, Any]]:
    """Return settings that suit the files: `setting`, `value`, and why."""
    found = []
    for m in MODALITIES:
        table = facts(assets, m)
        some: Any = table.iloc[:: max(1, len(table) // MAX_ASSETS)].to_dict("records")
        for key, value in (modality(m).suggested_inputs(some) if some else {}).items():
            why = modality(m).reasons.get(key, "")
            found.append({"setting": f"preprocess.{m}.{key}", "value": value, "why": why})
    return found


def unbalanced(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """Return the rarest and the most frequent class; None if they are nearly equally frequent."""
    if len(counts) < 2:
        return None
    rarest, commonest = (choose(counts, key=counts.__getitem__) for choose in (min, max))
    return (rarest, commonest) if counts[commonest] >= IMBALANCE * counts[rarest] else None


def imbalances(
    classes: Mapping[str, Mapping[str, int]], tasks: Mapping[str, TaskSettings]
) -> list[dict[str, Any]]:
    """Return tasks whose classes are far from equally frequent.

    Args:
        classes: task → class → how often it occurs in training.
        tasks: by name.
    """
    found = []
    for task, counts in classes.items():
        if ends := unbalanced(counts):
            rarest, commonest = ends
            part = counts[commonest] / sum(counts.values())
            row = {"task": task, "commonest": commonest, "part": part, "rarest": rarest}
            row["can_balance"] = isinstance(tasks[task], ClassTaskSettings)
            found.append(row | {"count": counts[rarest]})
    return found
