"""The tables that pass between stages, each checked by a Pandera schema at both ends."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
from pandera.errors import SchemaErrors
from pyarrow import parquet

from components.common.errors import InputError
from components.common.files import replacing

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
BATCH_ROWS = 10_000
ASSET_ID = pa.Check.str_matches(r"^[0-9a-f]{64}$")

INDEX = pa.DataFrameSchema(
    {
        "asset_id": pa.Column(str, ASSET_ID, unique=True),
        "shard": pa.Column(str, pa.Check.str_matches(r"^[0-9a-f]{32}$")),
        "row": pa.Column(int, pa.Check.ge(0)),
    },
    strict=True,
    name="the index of a shard set",
)

SAMPLES = pa.DataFrameSchema(
    {
        "sample_id": pa.Column(str, unique=True),
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
        "image_id": pa.Column(str, ASSET_ID, nullable=True),
        "text_id": pa.Column(str, ASSET_ID, nullable=True),
        "audio_id": pa.Column(str, ASSET_ID, nullable=True),
    },
    strict=False,  # and one column a task, and one a slice
    name="samples",
)

ASSETS = pa.DataFrameSchema(
    {
        "modality": pa.Column(str),
        "asset_id": pa.Column(str, ASSET_ID),
        "file": pa.Column(str),  # where the source has it, the first time
        "bytes": pa.Column(int, pa.Check.ge(0)),
        "width": pa.Column(float, nullable=True),  # pixels
        "height": pa.Column(float, nullable=True),
        "seconds": pa.Column(float, nullable=True),
        "rate": pa.Column(float, nullable=True),  # Hz
        "characters": pa.Column(float, nullable=True),
    },
    strict=True,
    name="assets",
)

QUARANTINE = pa.DataFrameSchema(
    {
        "source_line": pa.Column(str),
        "asset": pa.Column(str, nullable=True),
        "reason": pa.Column(str, pa.Check.str_matches(r"^[a-z0-9_]+$")),
        "detail": pa.Column(str),
    },
    strict=True,
    name="quarantine",
)


def _logged(when: str, name: str) -> pa.DataFrameSchema:
    """A value a series and task, at every `when`."""
    columns = {
        when: pa.Column(int, pa.Check.ge(0)),
        "series": pa.Column(str),
        "task": pa.Column(str),
        "value": pa.Column(float),
    }
    return pa.DataFrameSchema(columns, strict=True, name=name)


HISTORY = _logged("epoch", "metrics by epoch")
STEPS = _logged("step", "what is logged by step")

PREDICTIONS = pa.DataFrameSchema(
    {
        "sample_id": pa.Column(str),
        "subset": pa.Column(str),
        "task": pa.Column(str),
        "target": pa.Column(str),  # as the task's kind writes labels: a number, a JSON list
        "prediction": pa.Column(str),
        "confidence": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
    },
    strict=True,
    name="predictions",
)

SHARES = pa.DataFrameSchema(
    {
        "task": pa.Column(str),
        "subset": pa.Column(str),
        "unit": pa.Column(str),  # predictions that are right or wrong together
        "part": pa.Column(float),  # the quotient of the sums of both is a metric
        "whole": pa.Column(float),
    },
    strict=True,
    name="what predictions add to a metric",
)

ROBUSTNESS = pa.DataFrameSchema(
    {
        "group": pa.Column(str),  # a modality, or missing
        "corruption": pa.Column(str),
        "severity": pa.Column(int, pa.Check.in_range(1, 5)),
        "task": pa.Column(str),
        "subset": pa.Column(str),
        "metric": pa.Column(str),
        "clean": pa.Column(float),
        "corrupted": pa.Column(float),
        "answered": pa.Column(float, pa.Check.in_range(0, 1)),  # share of the questions
    },
    strict=True,
    name="metrics under corruptions",
)

RANKS = pa.DataFrameSchema(
    {
        "task": pa.Column(str),
        "asset_id": pa.Column(str, ASSET_ID),  # the query
        "rank": pa.Column(int, pa.Check.ge(1)),  # of the first right asset
        "targets": pa.Column(int, pa.Check.ge(1)),  # so many it was looked for among
    },
    strict=True,
    name="ranks of what was to be found",
)


def _checked(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> pd.DataFrame:
    if table.empty:  # then no value says what its columns are
        known = {name: str(kind) for name, kind in schema.dtypes.items() if name in table}
        table = table.astype(known)
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
    """Check `table` and write it as Parquet (or CSV by its suffix), whole or not at all.

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
    """Writes a table row by row as Parquet, whole or not at all; a batch is in memory, no more.

    Each batch is checked by itself, so a schema's `unique` holds within a batch only.

    Args:
        path: the file.
        schema: what every batch must obey.
        types: the columns in order, with their types.
    """

    def __init__(self, path: Path, schema: pa.DataFrameSchema, types: arrow.Schema):
        self._path, self._schema, self._types = path, schema, types
        self._rows: list[Mapping] = []
        self._stack = ExitStack()

    def __enter__(self) -> "TableWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            self._file = stack.enter_context(
                parquet.ParquetWriter(temporary, self._types, compression="zstd")
            )
            self._stack = stack.pop_all()
        return self

    def add(self, row: Mapping) -> None:
        """Write a row: column → value."""
        self._rows.append(row)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._flush()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._stack.__exit__(kind, error, trace)

    def _flush(self) -> None:
        if self._rows:
            batch = arrow.Table.from_pylist(self._rows, self._types)
            _checked(batch.to_pandas(), self._schema, self._path)
            self._file.write_table(batch)
            self._rows = []


def read_rows(path: Path) -> Iterator[dict]:
    """The rows of a Parquet file one by one, a batch in memory at a time."""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield from batch.to_pylist()


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read and check a table that `write_table` wrote.

    Raises:
        InputError: the file is missing or breaks the schema.
    """
    if not path.exists():
        raise InputError(f"{path} is missing. Run the stage that makes it: dvc repro")
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return _checked(table, schema, path)
