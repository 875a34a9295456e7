"""What the columns of a data set hold, by its first rows."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from components.common.errors import InputError, Problem
from components.data.samples import Split
from components.ingest.sources.files import SPLIT_NAMES, lies_below, read_file
from components.ingest.sources.huggingface import data_set_files
from components.ingest.sources.table import File, Row, likely_delimiter, open_table
from components.modalities.modality import Facts
from components.modalities.registry import MODALITIES, inspection_of, modality

ROWS = 50_000  # that are looked at
FILES = 20  # of a column that are opened
USABLE = 0.8  # of them, so that a column is of a modality


@dataclass(frozen=True)
class Column:
    """A column of a data set.

    Attributes:
        cells: those of the first rows that hold something.
        rows: how many rows were looked at.
        root: folder that paths in it start from.
        places: which rows the cells are of; by default the first ones.
    """

    name: str
    cells: Sequence[Any]
    rows: int
    root: Path
    places: Sequence[int] = ()

    @cached_property
    def by_row(self) -> dict[int, str]:
        """The cell of each row that has one."""
        return dict(zip(self.places or range(self.rows), map(str, self.cells), strict=False))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each distinct value occurs."""
        return Counter(map(str, self.cells))

    @cached_property
    def classes(self) -> Counter[str]:
        """How often each class occurs, which is a cell or a word of a list."""
        if not self.is_lists:
            return self.counts
        return Counter(word for cell in self.cells for word in cell)

    @cached_property
    def numbers(self) -> list[float] | None:
        """The cells as numbers; None if one is none."""
        if any(isinstance(cell, bool) for cell in self.cells):
            return None
        try:
            found = [float(cell) for cell in self.cells]
        except (TypeError, ValueError):
            return None
        return found if found and all(map(math.isfinite, found)) else None

    @cached_property
    def is_texts(self) -> bool:
        """Whether the cells are texts, and not names of anything."""
        return all(isinstance(cell, str) for cell in self.cells) and self.words >= 1.5

    @cached_property
    def words(self) -> float:
        """Words per cell on average."""
        return sum(len(str(cell).split()) for cell in self.cells) / max(1, len(self.cells))

    @cached_property
    def splits(self) -> frozenset[Split]:
        """The splits that the cells name; none unless every cell does, and there are two."""
        words = {word.strip().casefold() for word in self.counts}
        if len(words) < 2 or not words <= SPLIT_NAMES.keys():
            return frozenset()
        return frozenset(SPLIT_NAMES[word] for word in words)

    @cached_property
    def is_lists(self) -> bool:
        """Whether cells are lists of words."""
        lists = [cell for cell in self.cells if isinstance(cell, list | tuple)]
        return len(lists) == len(self.cells) > 0 and all(
            isinstance(word, str) for cell in lists for word in cell
        )

    @cached_property
    def media(self) -> tuple[str, list[Facts]] | None:
        """The modality of the files that cells name or hold, with facts about some of them."""
        contents = [found for cell in self.cells[:FILES] if (found := _content(cell, self.root))]
        if len(contents) < USABLE * min(FILES, len(self.cells)) or not contents:
            return None
        for m in (m for m in MODALITIES if not modality(m).is_inline):
            facts = [inspection_of(m).inspect(content) for content in contents]
            usable = [fact for fact in facts if not isinstance(fact, Problem)]
            if len(usable) >= USABLE * len(contents):
                return m, usable
        return None


@dataclass(frozen=True)
class DataSet:
    """The first rows of a data set; `kind` and `options` are those of `ingest.source`."""

    kind: str
    options: Mapping[str, Any]
    columns: Sequence[Column]
    rows: int  # at most, in all
    splits: frozenset[Split] = frozenset()  # which its folders or files give


def read_table(path: Path, root: Path) -> DataSet:
    """Read the first rows of a CSV, JSON Lines or Parquet file."""
    path, root = path.resolve(), root.resolve()
    file, layout = open_table(path, root), {}
    if mark := likely_delimiter(file):
        layout = {"delimiter": mark}
        file = open_table(path, root, **layout)
    return _data_set("table", {"files": [file.name], **layout}, [file], root)


def read_hugging_face(folder: Path, root: Path) -> DataSet:
    """Read the first rows of a data set of Hugging Face's."""
    files = data_set_files(folder.resolve(), root.resolve())
    name = folder.resolve().relative_to(root.resolve()).as_posix()
    splits: frozenset[Split] = frozenset(split for _, split in files if split)
    shown = [file for file, _ in files]
    return _data_set("huggingface", {"path": name}, shown, root, splits)


def _data_set(
    kind: str,
    options: Mapping[str, Any],
    files: Sequence[File],
    root: Path,
    splits: frozenset[Split] = frozenset(),
) -> DataSet:
    names = list(dict.fromkeys(name for file in files for name in file.columns))
    share, count = max(1, ROWS // len(files)), 0
    cells: dict[str, dict[int, Any]] = {name: {} for name in names}  # by row
    for file in files:
        rows = (row for row in file.rows(names) if isinstance(row, Row))
        for row in islice(rows, share):
            for name in names:
                if _holds_something(value := row.cells.get(name)):
                    cells[name][count] = value
            count += 1
    if not count:
        raise InputError(f"{options}: no row can be read")
    columns = [
        Column(name, list(found.values()), count, root.resolve(), list(found))
        for name, found in cells.items()
    ]
    return DataSet(kind, options, columns, count, splits)


def _holds_something(cell: Any) -> bool:
    missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    return not missing and not (isinstance(cell, str) and not cell.strip())


def _content(cell: Any, root: Path) -> bytes | None:
    """Return the bytes of the file that a cell is, or names below the root."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str) or "\0" in cell or len(cell) > 4096:
        return None
    path = root / cell
    if not lies_below(root, path) or not path.is_file():
        return None
    content = read_file(str(path))
    return content if isinstance(content, bytes) else None


def named(columns: Iterable[Column], words: Iterable[str]) -> Column | None:
    """Return the first column that is called by one of some words, the first word first."""
    by_name = {column.name.casefold(): column for column in columns}
    return next((by_name[word] for word in words if word in by_name), None)
