"""Converts rows into entries of one table of embeddings, without torch."""

import json
import logging
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np

from components.common.errors import InputError, listed, nearest
from components.common.files import write_json
from components.common.standard_scores import clipped
from components.data.shards import read_index, read_media
from components.modalities.modality import Preparation, UnusableAsset
from components.modalities.tabular.decoding import NUMBERS, Cells, decode, number
from components.modalities.tabular.modality import TabularSettings

log = logging.getLogger(__name__)

ROWS = 100_000  # looked at to describe the columns
ENTRIES = 4  # per cell; those that a category does not need weigh 0


@dataclass(frozen=True)
class Column(ABC):
    """How the cells of one column become entries of its part of the table.

    The first entry is the column itself, and all that is left of a cell that is missing.
    """

    KIND: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def size(self) -> int:
        """Entries of the part."""

    @abstractmethod
    def write(self, cells: Sequence[str | None], entries: np.ndarray, weights: np.ndarray) -> None:
        """Write the other entries of N cells and their weights, both [N, ENTRIES - 1]."""

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {"kind": self.KIND, **asdict(self)}


@dataclass(frozen=True)
class Quantity(Column):
    """A column of numbers.

    Its other entries are a direction, whose weight is the standardised number, and the knots, of
    which the two around a number have weights that sum to 1. So the embedding is a piecewise linear
    function of the number, as in Gorishniy et al. 2022, "On embeddings for numerical features in
    tabular deep learning".
    """

    KIND = "quantity"
    mean: float
    deviation: float
    knots: Sequence[float]  # rising

    @property
    def size(self) -> int:
        return 2 + len(self.knots)

    def write(self, cells: Sequence[str | None], entries: np.ndarray, weights: np.ndarray) -> None:
        values = np.array([math.nan if cell is None else number(cell) for cell in cells])  # [N]
        present, knots = ~np.isnan(values), np.array(self.knots)
        values = np.where(present, values, self.mean)
        standardised = clipped((values - self.mean) / self.deviation)
        upper = np.clip(np.searchsorted(knots, values), 0, len(knots) - 1)
        lower = np.maximum(upper - 1, 0)
        gap = np.where(upper > lower, knots[upper] - knots[lower], 1.0)
        fraction = np.clip((values - knots[lower]) / gap, 0.0, 1.0)
        entries[:] = np.stack([np.ones_like(lower), 2 + lower, 2 + upper], axis=1)
        weights[:] = np.stack([standardised, 1 - fraction, fraction], axis=1) * present[:, None]


@dataclass(frozen=True)
class Category(Column):
    """A column of names. Its second entry is shared by all that are not listed."""

    KIND = "category"
    categories: Sequence[str]

    @property
    def size(self) -> int:
        return 2 + len(self.categories)

    def write(self, cells: Sequence[str | None], entries: np.ndarray, weights: np.ndarray) -> None:
        places = {category: place for place, category in enumerate(self.categories, start=2)}
        entries[:, 0] = [1 if cell is None else places.get(cell, 1) for cell in cells]
        weights[:, 0] = [cell is not None for cell in cells]


KINDS = {kind.KIND: kind for kind in (Quantity, Category)}


def from_json(row: Mapping[str, Any]) -> Column:
    """Return a column as a processor's state describes it."""
    return KINDS[row["kind"]](**{key: value for key, value in row.items() if key != "kind"})


def prepare(preparation: Preparation) -> dict[str, Any]:
    """See `Processing`: the columns."""
    inputs: TabularSettings = preparation.inputs
    if inputs.columns is not None:
        columns = _load(preparation.pretrained / inputs.columns)
    else:
        columns = list(describe(_rows(preparation.media), inputs))
    if (needed := sum(column.size for column in columns)) > inputs.vocab_size:
        raise InputError(
            f"preprocess.tabular.vocab_size: found {inputs.vocab_size}, but {len(columns)} columns "
            f"have {needed} embeddings. Set it to that, or lower knots or max_categories"
        )
    return {"columns": [column.to_json() for column in columns]}


def build(state: Mapping[str, Any]) -> "TabularProcessor":
    """See `Processing`."""
    return TabularProcessor(list(map(from_json, state["columns"])))


def export(state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """See `Processing`: the columns."""
    write_json(folder / f"{name}.json", state["columns"])
    return {"columns": f"{name}.json"}


def _load(path: Path) -> list[Column]:
    try:
        rows = json.loads(path.read_text())
        if not isinstance(rows, list):
            raise ValueError(f"found {str(rows)[:40]!r}, expected a list")
        return list(map(from_json, rows))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"preprocess.tabular.columns: {path} does not describe columns: {error}. Name a file "
            "that was exported with an encoder, or null"
        ) from error


def _rows(media: Path) -> Iterator[Cells]:
    """Yield the cells of at most `ROWS` assets, from all shards."""
    index = read_index(media)
    contents = (content for shard in index for content in read_media(media, shard))
    step = max(1, math.ceil(sum(len(shard.asset_ids) for shard in index) / ROWS))
    return map(decode, islice(contents, None, None, step))


def describe(rows: Iterable[Cells], inputs: TabularSettings) -> Iterator[Column]:
    """Yield a description of every column, by what its cells hold.

    Raises:
        InputError: the settings name a column that is not there.
    """
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for column, cell in row.items():
            counts.setdefault(column, Counter())[cell] += 1
    if counts and (unknown := [name for name in inputs.categories if name not in counts]):
        raise InputError(
            f"preprocess.tabular.categories: no column {unknown[0]!r}. "
            f"{nearest(unknown[0], list(counts))}"
        )
    for name, found in counts.items():
        quantity = None if name in inputs.categories else _quantity(name, found, inputs)
        yield quantity or _category(name, found, inputs)


def _quantity(name: str, counts: Counter[str], inputs: TabularSettings) -> Quantity | None:
    """Describe a column of numbers; None if too many cells are none."""
    values = np.array([number(cell) for cell in counts])
    others = [cell for cell, value in zip(counts, values, strict=True) if math.isnan(value)]
    numbers = np.sort(np.repeat(values, list(counts.values())))
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) < NUMBERS * counts.total():
        return None
    if others:
        log.warning(
            "tabular: the column %r holds numbers, so cells such as %s are missing to it",
            name,
            listed(others[:3]),
        )
    mean = fmean(numbers)
    deviation = math.sqrt(fmean((numbers - mean) ** 2)) or 1.0
    places = np.linspace(0, len(numbers) - 1, inputs.knots).round().astype(int)
    return Quantity(name, mean, deviation, np.unique(numbers[places]).tolist())


def _category(name: str, counts: Counter[str], inputs: TabularSettings) -> Category:
    """Describe a column of names; one that occurs once is not listed."""
    repeated = [(-count, cell) for cell, count in counts.items() if count > 1]
    return Category(name, [cell for _, cell in sorted(repeated)[: inputs.max_categories]])


class TabularProcessor:
    """Looks up the entries of cells."""

    def __init__(self, columns: Sequence[Column]):
        self.columns = columns

    def __call__(self, contents: Iterable[bytes]) -> dict[str, np.ndarray]:
        """Return `entries` int64 and `weights` float32, both [N, columns, ENTRIES].

        A cell's embedding is the weighted sum of its entries. The first is the column itself.

        Raises:
            UnusableAsset: a row is malformed, or has a column that is not known.
        """
        rows = [decode(content) for content in contents]
        names = [column.name for column in self.columns]
        if unknown := sorted({name for row in rows for name in row} - set(names)):
            detail = f"unknown column {unknown[0]!r}. {nearest(unknown[0], names)}"
            raise UnusableAsset("tabular_unknown_column", detail)
        shape = len(rows), len(names), ENTRIES
        entries, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        first = 0
        for place, column in enumerate(self.columns):
            cells = [row.get(column.name) for row in rows]
            column.write(cells, entries[:, place, 1:], weights[:, place, 1:])
            entries[:, place] += first
            first += column.size
        weights[:, :, 0] = 1.0
        return {"entries": entries, "weights": weights}
