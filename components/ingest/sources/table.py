"""Tables: CSV, JSON Lines and Parquet files, whose columns the settings map."""

import csv
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BeforeValidator, Field, field_validator

from components.common.errors import InputError, did_you_mean, listed
from components.common.formats import (
    CSV,
    DAMAGED,
    JSON_LINES,
    PARQUET,
    TSV,
    other_table,
    read_start,
    recognised,
)
from components.data.samples import Split
from components.ingest.records import BadRow, Media, Record, RowError, Rows, Value
from components.ingest.sources.delimited import Delimited, Quoting, wrong_number
from components.ingest.sources.files import (
    is_unicode,
    json_object,
    known_split,
    lies_below,
    lines,
    media_file,
    not_utf8,
    refuse_other_table,
    splits_in_names,
    surroundings,
)
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.modalities.registry import MODALITIES, ModalityName, modality

log = logging.getLogger(__name__)

NAMED_LIKE_SPLITS = (
    "ingest.source.files: %s are called like splits (%s), and all their rows are split as "
    "ingest.splits says; a column of the files can say the split (ingest.source.split)"
)
BATCH = 64  # rows of a columnar file that are Python objects at once
OTHER_DELIMITERS = (";", "\t", "|", ",")  # that programs write, Excel by the system's language
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+(\.[0-9]{3})*,[0-9]+")
EXACT = 2**53  # whole numbers up to it are floats without loss


Decimals = Literal[".", ","]


def _names(columns: Any) -> Any:
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, list | tuple):
        return columns
    raise ValueError(f"found {columns!r}, expected the name of a column, or a list of names")


ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1, strict=False)]


class ColumnSettings(SourceSettings):
    """What the columns of a source's files are: those of modalities hold texts or files."""

    columns: Annotated[dict[ModalityName, ColumnNames], Field(min_length=1)]
    """Column of each modality: of texts, or of paths or bytes of files; several, as [title, body],
    where cells hold the content itself."""
    id: str | None = None
    """Column of the ids of rows."""
    split: str | None = None
    """Column of splits."""

    @field_validator("columns")
    @classmethod
    def _files_have_one_column(cls, columns: dict[str, ColumnNames]) -> dict[str, ColumnNames]:
        for m, names in columns.items():
            if len(names) > 1 and not modality(m).is_inline:
                raise ValueError(f"{m}: found {listed(names)}, expected one column, of files")
        return columns

    def mapped(self) -> list[tuple[str, str]]:
        """Return settings and the columns that they name."""
        media = [(f"columns.{m}", name) for m, names in self.columns.items() for name in names]
        others = (("id", self.id), ("split", self.split))
        return [*media, *((key, column) for key, column in others if column)]


class TableSettings(ColumnSettings):
    """Options of tables."""

    kind: Literal["table"] = "table"
    files: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """Their paths below ingest.root, in which * and ** are wildcards."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What stands between the cells of CSV and TSV, such as ";"; null: a comma, and a tab."""
    quoting: Quoting = "auto"
    """Whether quotes in CSV and TSV are those of cells (quotes) or text (none); auto: by the
    file."""
    decimal: Decimals = "."
    """What the numbers of CSV and TSV have before their fraction; with ",", 1.234,5 is 1234.5."""


@dataclass(frozen=True)
class Row:
    """One row of a file, unchecked."""

    place: str  # the file, and the line or row in it
    cells: Mapping[str, Any]  # by column; a `RowError` if it cannot be read


class File(Protocol):
    """A file with rows."""

    path: Path
    name: str  # its path from the root
    columns: tuple[str, ...]  # none if no row can be read
    values: tuple[str, ...]  # columns that a record can hold as values

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Yield every row, with at least those of `columns` that the file has."""
        ...


def read(settings: TableSettings, context: SourceContext) -> Rows:
    """Return every row of the matching files, sorted by path.

    Raises `InputError` if no file matches, one cannot be read, or one lacks a mapped column.
    """
    root = context.root.resolve()
    paths = {path for pattern in settings.files for path in _matches(root, pattern)}
    if settings.split is None and len(splits := splits_in_names(paths)) > 1:
        names = listed(sorted(path.name for path in paths))
        log.warning(NAMED_LIKE_SPLITS, names, listed(sorted(splits)))
    layout = settings.model_dump(include={"delimiter", "quoting", "decimal"}, exclude_none=True)
    files = [open_table(path, root, **layout) for path in sorted(paths)]
    return records([(file, None) for file in files], settings, root)


def _matches(root: Path, pattern: str) -> list[Path]:
    """Return the files that a glob matches; raise `InputError` if none, or one outside the root."""
    setting = "ingest.source.files"
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


def open_table(path: Path, root: Path, **layout: str) -> File:
    """Open a table; its suffix decides its format. `layout` holds options of `Csv`, for CSV."""
    suffix, name = path.suffix.lower(), path.relative_to(root).as_posix()
    if suffix not in FORMATS:
        raise InputError(f"ingest.source.files: {unknown_format(path)}")
    return FORMATS[suffix](path, name, **(layout if suffix in DELIMITED else {}))


def unknown_format(path: Path) -> str:
    """Return what is wrong with a file whose name has no suffix of `FORMATS`, and the way out."""
    start = read_start(path)
    hint = other_table(start) or recognised(start)
    found = f"{path} has an unknown format, expected a name that ends in one of"
    return f"{found}: {', '.join(FORMATS)}. {hint[:1].upper()}{hint[1:]}".removesuffix(". ")


class Csv:
    """Comma-separated values with a header; cells may be quoted and then hold line breaks."""

    def __init__(
        self,
        path: Path,
        name: str,
        delimiter: str = ",",
        quoting: Quoting = "auto",
        decimal: Decimals = ".",
        setting: str = "ingest.source.quoting",
    ):
        self.path, self.name = path, name
        self._content = Delimited(path, delimiter, quoting, setting)
        refuse_other_table(path, CSV, TSV)
        _, header = next(self._content.records(), (0, csv.Error("the file is empty")))
        if isinstance(header, csv.Error) or not is_unicode("".join(header)):
            why = header if isinstance(header, csv.Error) else f"it is {not_utf8(''.join(header))}"
            raise InputError(f"{path}: no header with the names of the columns: {why}")
        self._header = header
        self.columns = self.values = tuple(filter(None, header))
        self._decimal = decimal
        _refuse_duplicate_columns(self)

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Yield every row except blank lines; its place is its first line."""
        for number, cells in islice(self._content.records(), 1, None):
            place = f"{self.name}:{number}"
            try:
                yield Row(place, dict(zip(self._header, self._checked(cells), strict=True)))
            except RowError as error:
                yield error.at(place)

    def _checked(self, cells: list[str] | csv.Error) -> list[str]:
        if isinstance(cells, csv.Error):
            raise RowError(None, "row_malformed", f"the row cannot be read: {cells}")
        if not is_unicode(text := "".join(cells)):
            raise RowError(None, "row_not_utf8", f"the row is {not_utf8(text)}")
        if detail := wrong_number(cells, self._header, self._content.delimiter):
            raise RowError(None, "row_malformed", detail)
        if [cells[0].lstrip("\ufeff"), *cells[1:]] == self._header:
            detail = "the row repeats the header, as where files were joined. Remove the line"
            raise RowError(None, "row_malformed", detail)
        return cells if self._decimal == "." else list(map(_with_point, cells))


def _with_point(cell: str) -> str:
    """Return a cell; a number with a decimal comma, which may have points before it, as usual."""
    return cell.replace(".", "").replace(",", ".") if is_with_comma(cell) else cell


def is_with_comma(cell: str) -> bool:
    """Return whether a cell is a number with a decimal comma."""
    return DECIMAL_COMMA.fullmatch(cell.strip()) is not None


class JsonLines:
    """One JSON object per line; a key that a line lacks is empty there."""

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        keys: dict[str, None] = {}
        for row in self.rows():
            if isinstance(row, Row):
                keys |= dict.fromkeys(row.cells)
        if not keys:
            refuse_other_table(path, JSON_LINES)
        self.columns = self.values = tuple(keys)

    def rows(self, columns: Iterable[str] = ()) -> Iterator[Row | BadRow]:
        """Yield every row except blank lines; its place is its line."""
        for number, line in lines(self.path):
            if not line.isspace():
                place = f"{self.name}:{number}"
                try:
                    yield Row(place, json_object(line))
                except RowError as error:
                    yield error.at(place)


class Columnar:
    """A file of Arrow record batches; cells may be lists or Hugging Face's structs of media."""

    def __init__(self, path: Path, name: str, schema: pa.Schema, features: Mapping[str, Any]):
        self.path, self.name = path, name
        self.columns = tuple(schema.names)
        self.values = tuple(field.name for field in schema if not _holds_bytes(field.type))
        self._classes = _class_names(_features(schema, path)) | _class_names(features)

    def wanted(self, columns: Iterable[str]) -> list[str]:
        """Return those of `columns` that the file has, in its order."""
        return [column for column in self.columns if column in set(columns)]

    def batch_rows(self, batch: pa.RecordBatch, first: int) -> Iterator[Row]:
        """Yield the rows of a batch, numbered from `first`; class labels become their names."""
        for start in range(0, batch.num_rows, BATCH):
            piece, columns = batch.slice(start, BATCH), {}
            for column in piece.schema.names:
                columns[column] = _cells(piece.column(column))
                if names := self._classes.get(column):
                    columns[column] = [_label(column, value, names) for value in columns[column]]
            for row in range(piece.num_rows):
                cells = {column: values[row] for column, values in columns.items()}
                yield Row(f"{self.name}:{first + start + row}", cells)


class Parquet(Columnar):
    """Parquet."""

    def __init__(self, path: Path, name: str):
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            start = read_start(path)
            if (found := recognised(start, PARQUET) or other_table(start)) in ("", DAMAGED):
                found = f"{error}; {DAMAGED}"
            raise InputError(f"{path} is not Parquet: {found}") from error
        super().__init__(path, name, schema, {})
        _refuse_duplicate_columns(self)

    def rows(self, columns: Iterable[str]) -> Iterator[Row | BadRow]:
        """Yield every row; its place is its number from 0, as pandas counts."""
        wanted, first = self.wanted(columns), 0
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                number = first
                first += file.metadata.row_group(group).num_rows
                try:
                    for batch in file.iter_batches(BATCH, row_groups=[group], columns=wanted):
                        yield from self.batch_rows(batch, number)
                        number += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    detail = f"the row group cannot be read: {error}"
                    for lost in range(number, first):
                        yield BadRow(f"{self.name}:{lost}", None, "row_unreadable", detail)


DELIMITED = {".csv": Csv, ".tsv": partial(Csv, delimiter="\t")}
FORMATS = {
    **DELIMITED,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".parquet": Parquet,
}


def _refuse_duplicate_columns(file: File) -> None:
    if twins := sorted({name for name in file.columns if file.columns.count(name) > 1}):
        raise InputError(
            f"{file.path} has two columns of one name: {listed(twins)}. Rename one; or if the "
            "first line is a row, put a line with the names of the columns above it"
        )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _features(schema: pa.Schema, path: Path) -> dict[str, Any]:
    """Return what `datasets` stored in a schema about its columns; empty if it did not write it."""
    content = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        return json.loads(content).get("info", {}).get("features") or {}
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: the metadata 'huggingface' of its schema cannot be read: {error}. "
            "Save the file again"
        ) from error


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the class names of every column of class labels, or of lists of them."""
    found = {}
    for column, feature in features.items():
        while isinstance(feature, list) or (isinstance(feature, dict) and "feature" in feature):
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            found[column] = feature["names"]
    return found


def _cells(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # invalid UTF-8, impossible dates
        return [_cell(scalar) for scalar in column]


def _cell(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return RowError(None, "row_unreadable", f"a cell cannot be read: {error}")


def _label(column: str, value: Any, names: list[str]) -> Any:
    """Return the name of a class; None for -1, which is unknown."""
    if isinstance(value, list):
        return [_label(column, item, names) for item in value]
    if not isinstance(value, int) or value == -1:
        return None
    if not 0 <= value < len(names):
        detail = f"{column!r} holds class {value}, expected 0 to {len(names) - 1}"
        return RowError(column, "label_unknown", detail)
    return names[value]


def records(
    files: Sequence[tuple[File, Split | None]], settings: ColumnSettings, root: Path
) -> Rows:
    """Return the rows of files as records.

    Columns that have no role, or are one of several of a modality, become values.

    Each file comes with the split of its rows, unless a column says it. Paths in the rows start at
    `root`, which has no symbolic links. Raises `InputError`, before any row is read, if a file
    lacks a column that is mapped.
    """
    for file, _ in files:
        for setting, column in settings.mapped():
            if file.columns and column not in file.columns:
                raise InputError(
                    f"ingest.source.{setting}: {file.path} has no column {column!r}. "
                    f"{did_you_mean(column, file.columns)}It has: {listed(file.columns)}"
                    f"{_other_delimiter(file)}"
                )
    mapped = {column for _, column in settings.mapped()}
    whole = mapped.difference(*(names for names in settings.columns.values() if len(names) > 1))
    values = dict.fromkeys(c for file, _ in files for c in file.values if c not in whole)
    return (
        row if isinstance(row, BadRow) else _record(row, split, settings, list(values), root)
        for file, split in files
        for row in file.rows([*mapped, *values])
    )


def likely_delimiter(file: File) -> str | None:
    """Return the delimiter of a CSV file of one column that looks as if it had several."""
    if not isinstance(file, Csv) or len(file.columns) > 1:
        return None
    header = "".join(file.columns)
    mark = max(OTHER_DELIMITERS, key=header.count)
    return mark if mark in header else None


def _other_delimiter(file: File) -> str:
    """Return a sentence about how to read a file that has another delimiter; empty if not."""
    if (mark := likely_delimiter(file)) is None:
        return ""
    return f". {mark!r} separates its columns: set ingest.source.delimiter: {json.dumps(mark)}"


def _record(
    row: Row, split: Split | None, settings: ColumnSettings, values: list[str], root: Path
) -> Record | BadRow:
    """Return a row as a record, or why it cannot be one."""
    cells, row_id = row.cells, row.place
    try:
        row_id = _text("id", settings.id and cells.get(settings.id)) or row.place
        media = {}
        for m in filter(settings.columns.__contains__, MODALITIES):
            given = {column: cells.get(column) for column in settings.columns[m]}
            make = _inline_media if modality(m).is_inline else partial(_file_media, row.place, root)
            if found := make(m, given):
                media[m] = found
        if not media:
            names = ", ".join(name for names in settings.columns.values() for name in names)
            raise RowError(None, "row_empty", f"empty: {names}")
        if settings.split:
            word = _text(settings.split, cells.get(settings.split))
            split = known_split(word, settings.split) if word else None
        columns = {c: _value(cells.get(c), c) for c in values}
        return Record(row_id, split, media, columns, row.place)
    except RowError as error:
        return error.at(row_id)


def _inline_media(m: str, cells: Mapping[str, Any]) -> Media | None:
    """Return what the cells are together."""
    texts = {column: _text(column, value) for column, value in cells.items()}
    present = {column: text for column, text in texts.items() if text}
    content = modality(m).combine(present) if present else None
    return Media(content, content.encode) if content else None


def _file_media(place: str, root: Path, m: str, cells: Mapping[str, Any]) -> Media | None:
    """Return a media file by its path, its bytes, or Hugging Face's struct of both."""
    ((column, value),) = cells.items()
    if isinstance(value, dict) and "path" in value:
        value = value["path"] if value.get("bytes") is None else value["bytes"]
    if isinstance(value, bytes):
        return Media(f"{place}:{column}", partial(bytes, value))
    path = _text(column, value)
    return media_file(root, path) if path else None


def _text(column: str, value: Any) -> str | None:
    """Return a cell as text, None if it is blank; raise `RowError` if it is a list."""
    value = _value(value, column)
    if isinstance(value, tuple):
        raise RowError(column, "row_malformed", f"{column!r} holds a list, expected one text")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return value


def _value(value: Any, column: str = "") -> Value:
    """Return a cell as a record holds it; raise the error of one that could not be read."""
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
        case bytes():
            return _decoded(value, column)
        case list():
            return tuple(str(_text(column, item)) for item in value if item is not None)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)


def _decoded(value: bytes, column: str) -> str | None:
    """Return a cell of bytes as text, as programs write Parquet that does not say so."""
    try:
        return value.decode().strip() or None
    except UnicodeDecodeError as error:
        detail = f"{column!r} holds bytes that are not UTF-8, expected text or numbers"
        raise RowError(column, "row_not_utf8", detail) from error


SOURCE = Source(TableSettings, read)
