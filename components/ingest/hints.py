"""Hints for the data report: which settings suit the data.

They do not depend on the settings themselves, an edit of which would otherwise read all data again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.data.samples import asset_column
from components.data.tables import count_rows, read_where
from components.ingest.ledger import Ledger
from components.modalities.registry import MODALITIES, modality
from components.tasks.settings import ClassTaskSettings, TaskSettings

KEPT = {"half": 0.5, "nine_tenths": 0.9, "nearly_all": 0.98, "all": 1.0}  # of the labels
MAX_ASSETS = 5000  # from which settings are suggested
MAX_COUNTED = 8192  # assets whose labels are counted in memory
IMBALANCE = 10  # times as often as the rarest class


def lengths(samples: Path, ledger: Ledger, tasks: Mapping[str, TaskSettings]) -> dict[str, Any]:
    """Return by modality which length keeps how many of the labels whole, as `KEPT` names them.

    A label counts once for each sample that has it, so that a text of a thousand samples weighs as
    much as they do.
    """
    found = {}
    for m in MODALITIES:
        if modality(m).limit:
            ledger.count_labels(m, labels_by_asset(samples, tasks, m))
            if total := sum(labels for _, labels in ledger.labels_by_length(m)):
                found[m] = dict(_kept(total, ledger.labels_by_length(m)))
    return found


def _kept(total: int, by_length: Iterable[tuple[float, int]]) -> Iterator[tuple[str, float]]:
    """Yield each name of `KEPT` with the first length that keeps as many of the labels."""
    kept, parts = 0, dict(KEPT)
    for length, labels in by_length:
        kept += labels
        for name in [name for name, part in parts.items() if kept / total >= part - 1e-9]:
            del parts[name]
            yield name, length


def labels_by_asset(
    samples: Path, tasks: Mapping[str, TaskSettings], m: str
) -> Iterator[tuple[str, int]]:
    """Yield asset ids, each at least once, and how many labels some of the samples with it have."""
    ids, tasks_of = asset_column(m), Counter(task.column for task in tasks.values())
    columns = dict.fromkeys([ids, *tasks_of])
    found: Counter[str] = Counter()
    for cells, count in count_rows(samples, *columns):
        row = dict(zip(columns, cells, strict=True))
        labels = sum(n for column, n in tasks_of.items() if row[column] is not None)
        if row[ids] is not None:
            found[row[ids]] += count * labels
        if len(found) == MAX_COUNTED:
            yield from found.items()
            found.clear()
    yield from found.items()


def suggestions(assets: Path) -> list[dict[str, Any]]:
    """Return settings that suit the files: `setting`, `value`, and why."""
    found = []
    for m in MODALITIES:
        some = facts(assets, m)
        for key, value in (modality(m).suggested_inputs(some) if some else {}).items():
            why = modality(m).reasons.get(key, "")
            found.append({"setting": f"preprocess.{m}.{key}", "value": value, "why": why})
    return found


def facts(assets: Path, m: str) -> list[dict[str, Any]]:
    """Return the facts about assets of a modality, at equal distances if they are many."""
    table = read_where(assets, "modality", [m], *modality(m).measures)
    every = range(0, table.num_rows, max(1, table.num_rows // MAX_ASSETS))
    return table.take(pa.array(every, pa.int64())).to_pylist()


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
