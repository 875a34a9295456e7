"""Folds of a cross-validation, chosen by scikit-learn from the rows of a source.

Each group is in one fold, and the folds have the classes of the first classification task in equal
parts. Groups of the test split are in none, so that nothing is chosen by them.
"""

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from components.common.errors import InputError, Problem
from components.common.hashing import content_id, number_from
from components.data.samples import SPLITS, Split
from components.ingest.records import BadRow, Record, Rows
from components.ingest.settings import IngestSettings
from components.ingest.splits import SplitSettings, choose_split
from components.modalities.registry import MODALITIES
from components.tasks.labels import parse_word
from components.tasks.settings import TaskSettings

STRATIFIED = "classification"  # the kind of task whose classes folds have in equal parts
COLUMNS = ["group", "given", "label"]
UNKNOWN = ""  # class of rows without a label
NOT_GIVEN = -1  # place among the splits of one that the source does not give


class FoldSplits(SplitSettings):
    """Splits of one fold: its groups are the test split, and those of the test split are unused."""

    held_out: frozenset[str]
    left_alone: frozenset[str]

    def holds_out(self, group: str) -> bool:
        return group in self.held_out

    def leaves_alone(self, group: str) -> bool:
        return group in self.left_alone


def fold_splits(
    rows: Rows, options: IngestSettings, tasks: Mapping[str, TaskSettings], seed: int
) -> FoldSplits:
    """Return the splits of the fold that `ingest.splits.fold` names.

    Args:
        rows: of the source, in the splits that they have without folds; media are read only where
            they are the groups.

    Raises:
        InputError: there are fewer groups than folds.
    """
    splits = options.splits
    assert splits.fold
    column = next((task.column for task in tasks.values() if task.kind == STRATIFIED), None)
    table = pd.DataFrame(_described(rows, splits.group, column), columns=COLUMNS)
    given = table.groupby("group", sort=False)["given"].max()
    left_alone = frozenset(
        str(group)
        for group, place in given.items()
        if choose_split(_split_at(place), str(group), splits, seed) == "test"
    )
    table = table[~table["group"].isin(left_alone)]
    count, of = table["group"].nunique(), splits.fold.of
    if count < of:
        raise InputError(
            f"ingest.splits.fold: {of} folds need as many groups outside the test split, found "
            f"{count} (ingest.splits.group: {splits.group}). Ask for fewer folds, as in python -m "
            "flows.crossvalidate --folds 2, or name finer groups"
        )
    fold = choose_folds(table["group"], table["label"], of, seed) == splits.fold.held_out
    held_out = frozenset(table.loc[fold, "group"])
    return FoldSplits(**dict(splits), held_out=held_out, left_alone=left_alone)


def choose_folds(groups: pd.Series, labels: pd.Series, of: int, seed: int) -> np.ndarray:
    """Return the fold of each row, from 1; rows of a group share theirs.

    Where no class has as many rows as there are folds, only their sizes are balanced.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if labels.value_counts().max() < of:
        labels = pd.Series(UNKNOWN, labels.index)
    options = {"shuffle": True, "random_state": number_from(seed, "folds") % 2**32}
    classes, members = (pd.factorize(series)[0] for series in (labels, groups))
    if groups.is_unique:
        parts = StratifiedKFold(of, **options).split(classes, classes)
    else:
        parts = StratifiedGroupKFold(of, **options).split(classes, classes, members)
    folds = np.zeros(len(groups), np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held_out) in enumerate(parts, start=1):
            folds[held_out] = number
    return folds


def _described(rows: Rows, name: str, column: str | None) -> Iterator[tuple[str, int, str]]:
    """Yield the group of each usable row, the place of its split, and its class."""
    known: dict[str, str | None] = {}
    for row in rows:
        if isinstance(row, BadRow) or (group := _group(row, name, known)) is None:
            continue
        label = parse_word(row.columns.get(column)) if column else None
        place = SPLITS.index(row.split) if row.split else NOT_GIVEN
        yield group, place, label if isinstance(label, str) else UNKNOWN


def _group(row: Record, name: str, known: dict[str, str | None]) -> str | None:
    """Return the group of a row, its id if it has none; None if the row cannot be used.

    `known` has the asset ids of files that were read.
    """
    if name not in MODALITIES:
        group = parse_word(row.columns.get(name))
        return None if isinstance(group, Problem) else group or row.row_id
    if name not in row.media:
        return row.row_id
    media = row.media[name]
    if media.key not in known:
        try:
            content = media.load()
        except OSError:
            content = None
        known[media.key] = content_id(content) if isinstance(content, bytes) else None
    return known[media.key]


def _split_at(place: int) -> Split | None:
    return None if place == NOT_GIVEN else SPLITS[place]
