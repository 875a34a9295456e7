"""Tables that pass between stages, checked against a Pandera schema when written and when read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
from pandera.errors import SchemaErrors
from pyarrow import compute, parquet

from components.common.errors import InputError
from components.common.files import readable, replacing

BATCH_ROWS = 10_000
ASSET_ID = pa.Check.str_matches(r"^[0-9a-f]{64}$")


def _checked(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> pd.DataFrame:
    if table.empty:  # no value tells the types of its columns
        table = table.astype({n: str(kind) for n, kind in schema.dtypes.items() if n in table})
    try:
        return schema.validate(table, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise InputError(
            f"{path} breaks the schema of {schema.name}: {len(error.failure_cases)} failures, "
            f"first: column {first['column']!r}, check {first['check']}, found "
            f"{first['failure_case']!r} at row {first['index']}. "
            "If a stage of this project wrote it, delete it and run: dvc repro"
        ) from error


def write_table(path: Path, table: pd.DataFrame, schema: pa.DataFrameSchema) -> None:
    """Write a table as Parquet, or CSV by its suffix, whole or not at all.

    Raises:
        InputError: the table breaks the schema.
    """
    table = _checked(table.reset_index(drop=True), schema, path)
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False, compression="zstd")


class TableWriter:
    """Writes a table row by row as Parquet, whole or not at all, with one batch in memory.

    Each batch is checked by itself, so `unique` in the schema holds within a batch only. `types`
    are the columns in order, with their types.
    """

    def __init__(self, path: Path, schema: pa.DataFrameSchema, types: arrow.Schema):
        self._path, self._schema, self._types = path, schema, types
        self._rows: list[Mapping] = []

    def __enter__(self) -> Self:
        self._opened = self._open()
        self._file = self._opened.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._opened.__exit__(*error)

    @contextmanager
    def _open(self) -> Iterator[parquet.ParquetWriter]:
        with (
            replacing(self._path) as temporary,
            parquet.ParquetWriter(temporary, self._types, compression="zstd") as file,
        ):
            yield file
            self._flush()

    def add(self, row: Mapping) -> None:
        """Write a row, column → value."""
        self._rows.append(row)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            batch = arrow.Table.from_pylist(self._rows, self._types)
            _checked(batch.to_pandas(), self._schema, self._path)
            self._file.write_table(batch)
            self._rows = []


def read_rows(path: Path, *columns: str) -> Iterator[dict]:
    """Yield the rows of a Parquet file, by default with all columns, with one batch in memory."""
    with _parquet(path) as file:
        for batch in _batches(file, columns or None):
            yield from batch.to_pylist()


def count_rows(path: Path, *columns: str) -> Iterator[tuple[tuple, int]]:
    """Yield the different rows of some columns of a Parquet file, each with how often it occurs.

    Rows recur in each batch of the file anew, so that memory does not grow with it. Lists are
    tuples.
    """
    with _parquet(path) as file:
        for batch in _batches(file, columns):
            yield from Counter(zip(*map(_cells, map(batch.column, columns)), strict=True)).items()


def read_where(path: Path, column: str, values: Iterable[str], *columns: str) -> arrow.Table:
    """Return some columns of the rows of a Parquet file whose `column` is one of the values.

    Unlike with the filters of `pyarrow.parquet.read_table`, only one batch of the others is in
    memory.
    """
    wanted = compute.field(column).isin(arrow.array(values, arrow.string()))
    with _parquet(path) as file:
        types = arrow.schema([file.schema_arrow.field(name) for name in columns])
        batches = _batches(file, [column, *columns])
        kept = [batch.filter(wanted).select(columns) for batch in batches]
    return arrow.Table.from_batches(kept, types)


def concat_tables(parts: Sequence[pd.DataFrame], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return tables as one, with the columns of its schema; without rows if there are none."""
    columns = pd.Index(schema.columns)
    found = [part[columns] for part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


@contextmanager
def _parquet(path: Path) -> Iterator[parquet.ParquetFile]:
    with readable(path, "Parquet"), parquet.ParquetFile(path) as file:
        yield file


def _batches(
    file: parquet.ParquetFile, columns: Iterable[str] | None = None
) -> Iterator[arrow.RecordBatch]:
    """Yield a file in batches; threads would each keep memory, and gain nothing."""
    wanted = None if columns is None else list(columns)
    return file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False)


def _cells(column: arrow.Array) -> Iterable:
    cells = column.to_pylist()
    if not arrow.types.is_list(column.type):
        return cells
    return (cell if cell is None else tuple(cell) for cell in cells)


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a table; raise `InputError` if the file is missing, damaged or breaks the schema."""
    is_csv = path.suffix == ".csv"
    with readable(path, "CSV" if is_csv else "Parquet"):
        table = pd.read_csv(path) if is_csv else pd.read_parquet(path)
    return _checked(table, schema, path)


def read_batches(path: Path, schema: pa.DataFrameSchema) -> Iterator[pd.DataFrame]:
    """Yield a Parquet file in batches, each checked by itself.

    Raises `InputError` if the file is missing, damaged or breaks the schema.
    """
    with _parquet(path) as file:
        for batch in _batches(file):
            yield _checked(batch.to_pandas(), schema, path)
