"""Ask a model about each row of a Parquet file, a few rows in memory at a time."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from components.common.errors import InputError
from components.common.files import replacing
from components.modalities.registry import MODALITIES

ROWS = 256  # answered at once
ERROR = "error"  # column of the answers: why a row has none
MEDIA = {
    "image": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string),
    "text": (pa.types.is_string,),
    "audio": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string),
}
MEANT = {"image": "bytes or paths", "text": "texts", "audio": "bytes or paths"}


def answer_table(model, table: Path, answers: Path) -> str:
    """Answer the rows of `table` into `answers`, which appears whole or not at all.

    A row that cannot be answered has nulls, and the reason in the column `error`.

    Args:
        model: a pyfunc, loaded.
        table: Parquet with any of the columns image, text and audio, and any others.
        answers: Parquet: the other columns, then every task's answer and confidence, then `error`.

    Returns:
        What was done, for a person.

    Raises:
        InputError: the table cannot be read, or its columns cannot be used.
    """
    try:
        with parquet.ParquetFile(table) as file:
            return _answer_file(model, file, table, answers)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"--table: {table} cannot be read as Parquet: {error}") from error


def _answer_file(model, file: parquet.ParquetFile, table: Path, answers: Path) -> str:
    outputs = answer_schema(model)
    others = check(file.schema_arrow, outputs, table)
    schema = pa.schema([*others, *outputs])
    failed = 0
    with (
        replacing(answers) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(ROWS):
            rows = list(questions(batch, table.parent))
            found = answer(model, rows)
            failed += sum(row[ERROR] is not None for row in found)
            said = pa.Table.from_pylist(found, outputs)
            kept = pa.Table.from_batches([batch]).select(others.names)
            columns = [*kept.columns, *said.columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    count = file.metadata.num_rows
    return f"{answers}: {count - failed} of {count} rows answered" + (
        f", {failed} not: see the column {ERROR}" if failed else ""
    )


def answer_schema(model) -> pa.Schema:
    """The types of a model's answers, and of `error`."""
    types = {"string": pa.string(), "double": pa.float64()}
    fields = []
    for column in model.metadata.get_output_schema():
        inner = getattr(column.type, "dtype", None)  # of an array
        kind = pa.list_(types[inner.name]) if inner else types[column.type.name]
        fields.append(pa.field(column.name, kind))
    return pa.schema([*fields, pa.field(ERROR, pa.string())])


def check(columns: pa.Schema, outputs: pa.Schema, table: Path) -> pa.Schema:
    """The columns of a table that are kept.

    Raises:
        InputError: it has no medium, one of a wrong type, or a column that an answer has too.
    """
    given = [m for m in MODALITIES if m in columns.names]
    if not given:
        raise InputError(
            f"--table: {table} has the columns {', '.join(columns.names)}; give it one of "
            f"{', '.join(MODALITIES)}, or several"
        )
    for m in given:
        kind = columns.field(m).type
        allowed = (*MEDIA[m], pa.types.is_large_string, pa.types.is_null)
        if not any(fits(kind) for fits in allowed):
            raise InputError(
                f"--table: column {m} of {table} is of the type {kind}, expected {MEANT[m]}"
            )
    kept = pa.schema([field for field in columns if field.name not in MODALITIES])
    if clash := sorted(set(kept.names) & set(outputs.names)):
        raise InputError(
            f"--table: {table} has columns that the answers have too: {', '.join(clash)}. "
            "Rename them"
        )
    return kept


def questions(batch: pa.RecordBatch, folder: Path) -> Iterator[dict | str]:
    """Each row's media as bytes and text; where a file cannot be read, a sentence instead."""
    given = [m for m in MODALITIES if m in batch.schema.names]
    for row in batch.select(given).to_pylist():
        paths = {m: v for m, v in row.items() if m != "text" and isinstance(v, str)}
        try:
            yield row | {m: (folder / path).read_bytes() for m, path in paths.items()}
        except OSError as error:
            yield f"{error.filename} cannot be read: {error.strerror}"


def answer(model, rows: list[dict | str]) -> list[dict]:
    """Each row's answers, or why there are none."""
    asked = [number for number, row in enumerate(rows) if isinstance(row, dict)]
    said = dict(zip(asked, _ask(model, [rows[number] for number in asked]), strict=True))
    return [said.get(number, {ERROR: row}) for number, row in enumerate(rows)]


def _ask(model, rows: list[dict]) -> list[dict]:
    """Ask all at once; if a row is at fault, each half by itself."""
    if not rows:
        return []
    from mlflow import MlflowException

    try:
        answers = model.predict(pd.DataFrame(rows, dtype=object))
    except MlflowException as error:
        if len(rows) == 1:
            return [{ERROR: error.message.removeprefix("row 0 ")}]
        half = len(rows) // 2
        return _ask(model, rows[:half]) + _ask(model, rows[half:])
    return [row | {ERROR: None} for row in answers.to_dict("records")]
