"""Predicts the rows of a Parquet file, a few in memory at a time."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from components.common.errors import InputError
from components.common.files import replacing
from components.common.formats import read_start, table_kind
from components.modalities.registry import MODALITIES, modality

BATCH_ROWS = 256
UNUSABLE = "INVALID_PARAMETER_VALUE"  # MLflow's code of an error that is about the rows
ERROR = "error"  # column: why a row has no predictions
TEXTS, BYTES = (pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())

Row = dict[str, Any]  # raw media by modality, or predictions by column


def predict_table(model: Any, table: Path, output: Path) -> str:
    """Predict the rows of a table into `output`, which appears whole or not at all.

    A row that cannot be used has nulls, and the reason in the column `error`.

    Args:
        model: a pyfunc, loaded.
        table: Parquet with a column per modality, any of them missing, and any others.
        output: Parquet: the other columns, then every task's prediction and confidence, then
            `error`.

    Return what was done, for a person. Raise `InputError` if the table cannot be read, its columns
    cannot be used, or `output` is the table itself.
    """
    if output.resolve() == table.resolve():
        raise InputError(
            f"--output: {output} is the table, whose media would be lost. Name another"
        )
    opened = False
    try:
        with parquet.ParquetFile(table) as file:
            opened = True
            return _predict_file(model, file, table, output)
    except (OSError, pa.ArrowInvalid) as error:
        if opened and getattr(error, "errno", None) is not None:  # about the output
            raise
        found = str(error)
        if table.is_file() and (kind := table_kind(read_start(table))):
            found = f"it looks like {kind}. Write it as Parquet, as with pandas' to_parquet"
        raise InputError(f"--table: {table} cannot be read as Parquet: {found}") from error


def _predict_file(model: Any, file: parquet.ParquetFile, table: Path, output: Path) -> str:
    predicted = prediction_schema(model)
    others = check_columns(file.schema_arrow, predicted, table)
    schema = pa.schema([*others, *predicted])
    failed = 0
    with (
        replacing(output) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(BATCH_ROWS):
            found = predict_rows(model, list(raw_media(batch, table.parent)))
            failed += sum(row[ERROR] is not None for row in found)
            columns = pa.Table.from_pylist(found, predicted).columns
            kept = pa.Table.from_batches([batch]).select(others.names).columns
            writer.write_table(pa.Table.from_arrays([*kept, *columns], schema=schema))
    count = file.metadata.num_rows
    rest = f"; {failed} rows could not be used, see the column {ERROR}" if failed else ""
    return f"{count - failed} of {count} rows predicted: {output}{rest}"


def prediction_schema(model: Any) -> pa.Schema:
    """Return the types of a model's predictions, and of `error`."""
    types = {"string": pa.string(), "double": pa.float64()}
    fields = []
    for column in model.metadata.get_output_schema():
        inner = getattr(column.type, "dtype", None)  # of an array
        kind = pa.list_(types[inner.name]) if inner else types[column.type.name]
        fields.append(pa.field(column.name, kind))
    return pa.schema([*fields, pa.field(ERROR, pa.string())])


def check_columns(columns: pa.Schema, predicted: pa.Schema, table: Path) -> pa.Schema:
    """Return the columns of a table that are kept.

    Raise `InputError` for no media, a column of a wrong type, two of a name, or one that
    predictions have too.
    """
    if twice := sorted({name for name in columns.names if columns.names.count(name) > 1}):
        raise InputError(f"--table: {table} has two columns {', '.join(twice)}. Keep one of each")
    given = [m for m in MODALITIES if m in columns.names]
    if not given:
        raise InputError(
            f"--table: {table} has the columns {', '.join(columns.names)}; give it at least one of "
            f"{', '.join(MODALITIES)}"
        )
    for m in given:
        kind, inline = columns.field(m).type, modality(m).is_inline
        if kind not in (pa.null(), *TEXTS, *(() if inline else BYTES)):
            expected = "texts" if inline else "bytes or paths"
            raise InputError(
                f"--table: column {m} of {table} has the type {kind}, expected {expected}"
            )
    kept = pa.schema([field for field in columns if field.name not in MODALITIES])
    if clash := sorted(set(kept.names) & set(predicted.names)):
        raise InputError(
            f"--table: {table} has columns that predictions have too: {', '.join(clash)}. "
            "Rename them"
        )
    return kept


def raw_media(batch: pa.RecordBatch, folder: Path) -> Iterator[Row | str]:
    """Yield each row's media as bytes and texts, or why a file cannot be read."""
    given = [m for m in MODALITIES if m in batch.schema.names]
    for row in batch.select(given).to_pylist():
        files = {m: v for m, v in row.items() if not modality(m).is_inline}
        paths = {m: v for m, v in files.items() if isinstance(v, str)}
        try:
            yield row | {m: read_file(folder / path) for m, path in paths.items()}
        except OSError as error:
            yield f"{error.filename} cannot be read: {error.strerror} (file_unreadable)"


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file; others, such as pipes, may never end. Raise OSError."""
    if "\0" in str(path) or (path.exists() and not path.is_file()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


def predict_rows(model: Any, rows: list[Row | str]) -> list[Row]:
    """Return each row's predictions, or why there are none."""
    usable = {number: row for number, row in enumerate(rows) if isinstance(row, dict)}
    found = dict(zip(usable, _predict(model, list(usable.values())), strict=True))
    return [found.get(number, {ERROR: row}) for number, row in enumerate(rows)]


def _predict(model: Any, rows: list[Row]) -> list[Row]:
    """Predict all rows at once; if one of them cannot be used, each half separately."""
    if not rows:
        return []
    from mlflow import MlflowException

    try:
        predictions = model.predict(pd.DataFrame(rows, dtype=object))
    except MlflowException as error:
        if error.error_code != UNUSABLE:
            raise
        if len(rows) == 1:
            return [{ERROR: error.message.removeprefix("row 0 ")}]
        half = len(rows) // 2
        return _predict(model, rows[:half]) + _predict(model, rows[half:])
    return [row | {ERROR: None} for row in predictions.to_dict("records")]
