"""The columns of the samples: their types, and a source's values brought to them."""

from collections.abc import Mapping

import pyarrow as pa

from components.config.settings import TaskSettings
from components.ingest.checks.problem import Problem
from components.ingest.record import Value

TEXT, NUMBER, LIST = pa.string(), pa.float64(), pa.list_(pa.string())
TYPES = {"classification": TEXT, "multilabel": LIST, "regression": NUMBER, "vqa": LIST}


def column_types(
    tasks: Mapping[str, TaskSettings], slices: tuple[str, ...]
) -> dict[str, pa.DataType]:
    """The columns that the samples keep, with their types: labels of tasks, then slices."""
    types = {task.column: TYPES[task.kind] for task in tasks.values()}
    return types | {column: TEXT for column in slices if column not in types}


def cast(column: str, value: Value, wanted: pa.DataType) -> Value | Problem:
    """A value as its column's type, or why that cannot be."""
    if value is None:
        return None
    if wanted == LIST:
        return value if isinstance(value, tuple) else (as_text(value),)
    if isinstance(value, tuple):
        return Problem("value_type", f"column {column!r} holds a list, expected one value")
    if wanted == TEXT:
        return as_text(value)
    try:
        return float(value)
    except ValueError:
        return Problem("value_type", f"column {column!r} holds {value!r}, expected a number")


def as_text(value: str | float) -> str:
    """A label as text: 3.0 is 3."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
