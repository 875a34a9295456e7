"""Tables: CSV, JSON Lines and Parquet files whose columns `params.yaml` maps."""

import csv
import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from components.common.errors import InputError
from components.data.tables import Split
from components.ingest.record import BadRow, Media, Record, Rows, Value
from components.ingest.settings import ColumnSettings, TableSettings
from components.ingest.sources.files import (
    RowError,
    is_unicode,
    known_split,
    lies_below,
    lines,
    listed,
    media_file,
    nearest,
    short,
    surroundings,
)
from components.modalities.registry import MODALITIES

ROLES = ("id", *MODALITIES, "split")
LARGEST_CELL = 2**24  # characters of a CSV cell; a quote that is never closed ends there
BATCH = 64  # rows of a columnar file that are Python objects at once
EXACT = 2**53  # whole numbers up to it are floats without loss


@dataclass(frozen=True)
class Row:
    """One row of a file, nothing in it checked.

    Attributes:
        place: the file, and the line or row in it.
        cells: values by column; a `RowError` in the place of one that cannot be read.
    """

    place: str
    cells: Mapping[str, Any]


class File(Protocol):
    """A file with rows.

    Attributes:
        path: where it lies.
        name: its path from the root.
        columns: all its columns; none if it has no row that can be read.
        values: those of them that a record can hold as a value.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    values: tuple[str, ...]

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Every row, with those of `columns` that the file has."""


def read(settings: TableSettings, root: Path) -> Rows:
    """Every row of the files that match, the files sorted by their paths.

    Raises:
        InputError: no file matches, a file cannot be read, or it lacks a column that is mapped.
    """
    root = root.resolve()
    paths = {path for pattern in settings.files for path in _matches(root, pattern)}
    files = [
        open_table(path, path.relative_to(root).as_posix(), "ingest.table.files")
        for path in sorted(paths)
    ]
    return records([(file, None) for file in files], settings, root, "ingest.table")


def _matches(root: Path, pattern: str) -> list[Path]:
    """The files that a glob matches.

    Raises:
        InputError: there are none, or one lies elsewhere than below the root.
    """
    setting = "ingest.table.files"
    if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise InputError(
            f"{setting}: found {pattern!r}, expected a path below ingest.root ({root}), such as "
            "data/*.csv"
        )
    found = [path for path in root.glob(pattern) if path.is_file()]
    if not found:
        raise InputError(
            f"{setting}: no file matches {pattern!r} below ingest.root ({root}). "
            f"{surroundings(root / pattern)}"
        )
    if outside := [path for path in found if not lies_below(root, path)]:
        raise InputError(
            f"{setting}: {outside[0]} is a link that leads out of ingest.root. Move the file there"
        )
    return found


def open_table(path: Path, name: str, setting: str) -> File:
    """A table, its format chosen by its suffix.

    Args:
        path: where it lies.
        name: its path from the root, which the places of its rows start with.
        setting: the key in params.yaml that led to it.

    Raises:
        InputError: the suffix is unknown, or the file cannot be read.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{setting}: {path} is no table that can be read, expected a name that ends in one "
            f"of: {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()](path, name)


class Csv:
    """Comma-separated values with a header; cells may be quoted and then hold line breaks."""

    def __init__(self, path: Path, name: str, delimiter: str = ","):
        self.path, self.name, self._delimiter = path, name, delimiter
        _, header = next(self._records(), (0, csv.Error("the file is empty")))
        if isinstance(header, csv.Error) or not is_unicode("".join(header)):
            found = header if isinstance(header, csv.Error) else "it is not UTF-8"
            raise InputError(f"{path}: found no header with the names of the columns: {found}")
        self._header = header
        self.columns = self.values = tuple(filter(None, header))
        _refuse_twins(self)

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Every row but blank lines; its place is its first line."""
        wanted = [(n, column) for n, column in enumerate(self._header) if column in set(columns)]
        records = self._records()
        next(records)
        for number, cells in records:
            place = f"{self.name}:{number}"
            try:
                self._check(cells)
                yield Row(place, {column: cells[n] for n, column in wanted})
            except RowError as error:
                yield error.at(place)

    def _check(self, cells: list[str] | csv.Error) -> None:
        if isinstance(cells, csv.Error):
            raise RowError(None, "row_malformed", f"the row cannot be read: {cells}")
        if not is_unicode("".join(cells)):
            raise RowError(None, "row_not_utf8", "the row is not UTF-8")
        if len(cells) != len(self._header):
            detail = f"found {len(cells)} cells, expected {len(self._header)} as in the header"
            raise RowError(None, "row_malformed", detail)

    def _records(self) -> Iterator[tuple[int, list[str] | csv.Error]]:
        """The cells of each record with its first line's number; an error if it is malformed.

        A malformed record is its first line alone: a quote too many does not swallow the rows
        below it.
        """
        csv.field_size_limit(LARGEST_CELL)
        source = _Lines(self.path)
        reader = csv.reader(source, delimiter=self._delimiter, strict=True)
        while True:
            source.taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = error
            if cells:
                yield source.taken[0][0], cells
            if isinstance(cells, csv.Error):
                source.give_back()


class _Lines:
    """The lines of a file; those taken for a record that turns out to be none are given back."""

    def __init__(self, path: Path):
        self._lines = lines(path)
        self._waiting: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.taken.append(self._waiting.popleft() if self._waiting else next(self._lines))
        return self.taken[-1][1]

    def give_back(self) -> None:
        """Let all lines taken but the first be taken again."""
        self._waiting.extendleft(reversed(self.taken[1:]))


class JsonLines:
    """One JSON object a line; a key that a line lacks is empty there."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        keys: dict[str, None] = {}
        for row in self._objects():
            if isinstance(row, Row):
                keys |= dict.fromkeys(row.cells)
        self.columns = self.values = tuple(keys)

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Every row but blank lines; its place is its line."""
        wanted = set(columns)
        for row in self._objects():
            if isinstance(row, Row):
                row = Row(row.place, {k: v for k, v in row.cells.items() if k in wanted})
            yield row

    def _objects(self) -> Iterator[Row | BadRow]:
        for number, line in lines(self.path):
            if not line.isspace():
                place = f"{self.name}:{number}"
                try:
                    yield Row(place, _json_object(line))
                except RowError as error:
                    yield error.at(place)


def _json_object(line: str) -> dict[str, Any]:
    """The object in a line.

    Raises:
        RowError: there is none.
    """
    if not is_unicode(line):
        raise RowError(None, "row_not_utf8", "the line is not UTF-8")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RowError(None, "row_unreadable", f"the line is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RowError(None, "row_unreadable", f"found {short(found)}, expected a JSON object")
    if "\\u" in line and not is_unicode(json.dumps(found, ensure_ascii=False)):
        raise RowError(None, "row_not_utf8", "the line holds half of a surrogate pair")
    return found


class Parquet:
    """Parquet; a list, a number or Hugging Face's structs of media are fine in a cell."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} is not Parquet: {error}. Fetch or write it again") from error
        self._classes = class_names(schema_features(schema, path))
        self.columns = tuple(schema.names)
        self.values = value_columns(schema)
        _refuse_twins(self)

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Every row; its place is its number from 0, as pandas counts."""
        wanted = [column for column in self.columns if column in set(columns)]
        first = 0
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                number = first
                first += file.metadata.row_group(group).num_rows
                try:
                    for batch in file.iter_batches(BATCH, row_groups=[group], columns=wanted):
                        yield from batch_rows(batch, self._classes, self.name, number)
                        number += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    detail = f"the row group cannot be read: {error}"
                    for lost in range(number, first):
                        yield BadRow(f"{self.name}:{lost}", None, "row_unreadable", detail)


FORMATS = {
    ".csv": Csv,
    ".tsv": partial(Csv, delimiter="\t"),
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".parquet": Parquet,
}


def _refuse_twins(file: File) -> None:
    if twins := sorted({name for name in file.columns if file.columns.count(name) > 1}):
        raise InputError(f"{file.path} has two columns of one name: {listed(twins)}. Rename one")


def value_columns(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that a record can hold as a value: those without bytes."""
    return tuple(field.name for field in schema if not _holds_bytes(field.type))


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def schema_features(schema: pa.Schema, path: Path) -> dict[str, Any]:
    """What `datasets` wrote into a schema about its columns; nothing if it did not write it.

    Raises:
        InputError: what it wrote is not JSON.
    """
    content = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        return json.loads(content).get("info", {}).get("features") or {}
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: the metadata 'huggingface' of its schema cannot be read: {error}. "
            "Write the file again"
        ) from error


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the classes of every column of class labels, or of lists of them."""
    found = {}
    for column, feature in features.items():
        while isinstance(feature, list) or (isinstance(feature, dict) and "feature" in feature):
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            found[column] = feature["names"]
    return found


def batch_rows(
    batch: pa.RecordBatch, classes: Mapping[str, list[str]], name: str, first: int
) -> Iterator[Row]:
    """The rows of a batch, numbered from `first`; class labels become their names."""
    columns = {}
    for column in batch.schema.names:
        columns[column] = _cells(batch.column(column))
        if names := classes.get(column):
            columns[column] = [_label(column, value, names) for value in columns[column]]
    for row in range(batch.num_rows):
        cells = {column: values[row] for column, values in columns.items()}
        yield Row(f"{name}:{first + row}", cells)


def _cells(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # strings that are not UTF-8, dates that no calendar has
        return [_cell(scalar) for scalar in column]


def _cell(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return RowError(None, "row_unreadable", f"a cell cannot be read: {error}")


def _label(column: str, value: Any, names: list[str]) -> Any:
    """The name of a class; -1 is an unknown one."""
    if isinstance(value, list):
        return [_label(column, item, names) for item in value]
    if not isinstance(value, int) or value == -1:
        return None
    if not 0 <= value < len(names):
        detail = f"{column!r} holds class {value}, expected 0 to {len(names) - 1}"
        return RowError(column, "label_unknown", detail)
    return names[value]


def records(
    files: list[tuple[File, Split | None]], settings: ColumnSettings, root: Path, setting: str
) -> Rows:
    """The rows of files as records; columns that are not mapped are passed on as values.

    Args:
        files: each with the split that its rows are in, unless a column says it.
        settings: what the columns are.
        root: without symbolic links; paths in the rows start there.
        setting: the key of `settings` in params.yaml.

    Raises:
        InputError: a file lacks a column that is mapped; before any row is read.
    """
    for file, _ in files:
        _check_columns(file, settings, setting)
    mapped = {column for role in ROLES if (column := getattr(settings, role))}
    values = dict.fromkeys(c for file, _ in files for c in file.values if c not in mapped)
    return (
        row if isinstance(row, BadRow) else to_record(row, split, settings, list(values), root)
        for file, split in files
        for row in file.rows([*mapped, *values])
    )


def _check_columns(file: File, settings: ColumnSettings, setting: str) -> None:
    for role in ROLES:
        column = getattr(settings, role)
        if column and file.columns and column not in file.columns:
            raise InputError(
                f"{setting}.{role}: {file.path} has no column {column!r}. "
                f"{nearest(column, file.columns)}It has: {', '.join(file.columns)}"
            )


def to_record(
    row: Row, split: Split | None, settings: ColumnSettings, values: list[str], root: Path
) -> Record | BadRow:
    """A row as a record, or why there is none."""
    cells, line = row.cells, row.place
    try:
        line = _text("id", cells.get(settings.id)) or row.place
        media = {}
        for modality in MODALITIES:
            column = getattr(settings, modality)
            make = _text_media if modality == "text" else partial(_file_media, row.place, root)
            if column and (found := make(column, cells.get(column))):
                media[modality] = found
        if not media:
            columns = [column for m in MODALITIES if (column := getattr(settings, m))]
            raise RowError(None, "row_empty", f"nothing is in {', '.join(columns)}")
        if settings.split:
            word = _text(settings.split, cells.get(settings.split))
            split = known_split(word, settings.split) if word else None
        return Record(line, split, media, {c: _value(cells.get(c)) for c in values})
    except RowError as error:
        return error.at(line)


def _text_media(column: str, value: Any) -> Media | None:
    text = _text(column, value)
    return Media(text, text.encode) if text else None


def _file_media(place: str, root: Path, column: str, value: Any) -> Media | None:
    """A media file by its path, its bytes, or Hugging Face's struct of both."""
    if isinstance(value, dict) and "path" in value:
        value = value["path"] if value.get("bytes") is None else value["bytes"]
    if isinstance(value, bytes):
        return Media(f"{place}:{column}", partial(bytes, value))
    path = _text(column, value)
    return media_file(root, path) if path else None


def _text(column: str, value: Any) -> str | None:
    """A cell as text; None if it is blank.

    Raises:
        RowError: it is neither text nor a number.
    """
    value = _value(value)
    if isinstance(value, tuple):
        raise RowError(column, "row_malformed", f"{column!r} holds a list, expected one text")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return value


def _value(value: Any) -> Value:
    """A cell as a record holds it.

    Raises:
        RowError: the cell could not be read.
    """
    match value:
        case RowError():
            raise value
        case None:
            return None
        case str():
            return None if not value or value.isspace() else value
        case bool():
            return str(value).lower()
        case int():
            return float(value) if abs(value) <= EXACT else str(value)
        case float() | Decimal():
            return None if math.isnan(value) else float(value)
        case list():
            return tuple(str(_text("", item)) for item in value if item is not None)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)
