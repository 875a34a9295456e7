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
from components.common.spelling import like_a_number
from components.data.samples import Split
from components.ingest.classes import EMPTY
from components.ingest.records import BadRow, RowError
from components.ingest.sources.files import SPLIT_NAMES, lies_below, read_file
from components.ingest.sources.huggingface import data_set_files
from components.ingest.sources.table import File, is_with_comma, likely_delimiter, open_table
from components.modalities.modality import Facts
from components.modalities.registry import MODALITIES, inspection_of, modality
from components.tasks.labels import parse_words

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
        if self.lists is None:
            return self.counts
        return Counter(word for cell in self.lists for word in cell)

    @cached_property
    def numbers(self) -> list[float] | None:
        """The cells as numbers, without words such as NA; None if another is no number."""
        if any(isinstance(cell, bool) for cell in self.cells):
            return None
        try:
            found = [float(cell) for cell in self.cells if str(cell).casefold() not in EMPTY]
        except (TypeError, ValueError):
            return None
        return found if found and all(map(math.isfinite, found)) else None

    @property
    def is_like_numbers(self) -> bool:
        """Whether the cells are numbers with units, or with marks between thousands."""
        like = [cell for cell in self.cells if isinstance(cell, str) and like_a_number(cell)]
        return len(like) >= USABLE * len(self.cells) > 0

    @property
    def has_decimal_commas(self) -> bool:
        """Whether the cells are numbers, some with a decimal comma, which marks no thousands."""
        numbers = [cell for cell in self.cells if isinstance(cell, str) and is_with_comma(cell)]
        thousands = all(len(cell.strip().rpartition(",")[2]) == 3 for cell in numbers)
        return len(numbers) >= USABLE * len(self.cells) > 0 and not thousands

    @cached_property
    def is_texts(self) -> bool:
        """Whether the cells are texts, and not names of anything."""
        are_texts = all(isinstance(cell, str) for cell in self.cells)
        return are_texts and self.words >= 1.5 and not self.is_like_numbers

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
    def lists(self) -> list[tuple[str, ...]] | None:
        """The cells as lists of words; None unless each is one, or a text of a JSON list."""
        lists = [_list_in(cell) for cell in self.cells]
        words = [None if items is None else parse_words(items) for items in lists]
        found = [items for items in words if isinstance(items, tuple)]
        return found if len(found) == len(words) > 0 else None

    @property
    def is_nested(self) -> bool:
        """Whether a cell is a list or has fields."""
        return any(_is_list(cell) or isinstance(cell, Mapping) for cell in self.cells)

    @property
    def looks_like_rows(self) -> bool:
        """Whether the name is a cell too, so that the first line may be a row."""
        return len(self.counts) > 1 < self.counts[self.name]

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
    notes: Sequence[str] = ()  # about rows that cannot be read


def read_table(path: Path, root: Path) -> DataSet:
    """Read the first rows of a CSV, JSON Lines or Parquet file."""
    path, root = path.resolve(), root.resolve()
    file, layout = open_table(path, root), {}
    if mark := likely_delimiter(file):
        layout = {"delimiter": mark}
        file = open_table(path, root, **layout)
    found = _data_set("table", {"files": [file.name], **layout}, [file], root)
    if any(column.has_decimal_commas for column in found.columns):
        layout["decimal"] = ","
        file = open_table(path, root, **layout)
        found = _data_set("table", {"files": [file.name], **layout}, [file], root)
    return found


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
    bad: list[BadRow] = []
    for file in files:
        for row in islice(file.rows(names), share):
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            for name in names:
                if _holds_something(value := row.cells.get(name)):
                    cells[name][count] = value
            count += 1
    notes = _about_bad_rows(bad, count, files)
    columns = [
        Column(name, list(found.values()), count, root.resolve(), list(found))
        for name, found in cells.items()
    ]
    return DataSet(kind, options, columns, count, splits, notes)


def _about_bad_rows(bad: Sequence[BadRow], good: int, files: Sequence[File]) -> list[str]:
    """Return a note about rows that cannot be read; `InputError` if most of them cannot."""
    if not bad and not good:
        raise InputError(f"{files[0].path}: there is no row beside the names of the columns")
    if not bad:
        return []
    total, first = len(bad) + good, bad[0]
    note = f"{len(bad)} of {total} rows cannot be read. The first, {first.row_id}: {first.detail}"
    if len(bad) > good:
        raise InputError(f"{files[0].path}: {note}")
    return [note]


def _list_in(cell: Any) -> Sequence[str] | str | None:
    """Return a list of words, or the text of a list; None of anything else."""
    if isinstance(cell, str):
        return cell if cell.lstrip().startswith("[") else None
    if not _is_list(cell) or not all(isinstance(item, str | None) for item in cell):
        return None
    return [item for item in cell if item is not None]


def _is_list(cell: Any) -> bool:
    return isinstance(cell, list | tuple)


def _holds_something(cell: Any) -> bool:
    if cell is None or isinstance(cell, RowError):
        return False
    is_nan = isinstance(cell, float) and math.isnan(cell)
    return not is_nan and not (isinstance(cell, str) and not cell.strip())


def _content(cell: Any, root: Path) -> bytes | None:
    """Return the bytes of the file that a cell is, or names below the root."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        return cell
    if not isinstance(cell, str) or "\0" in cell or len(cell) > 4096:
        return None
    path = root / cell
    try:
        return read_file(str(path)) if lies_below(root, path) else None
    except OSError:  # there is none, or the name is too long
        return None


def named(columns: Iterable[Column], words: Iterable[str]) -> Column | None:
    """Return the first column that is called by one of some words, the first word first."""
    by_name = {column.name.casefold(): column for column in columns}
    return next((by_name[word] for word in words if word in by_name), None)
