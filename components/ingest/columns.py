"""The columns of the samples beside split and assets, and how a source's cells become theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from components.common.errors import Problem
from components.ingest.record import Record, Value
from components.modalities.registry import IDS
from components.modalities.text.decoding import decode
from components.tasks.label_kinds import LABELS
from components.tasks.label_parsing import word
from components.tasks.settings import TaskSettings

OWN_TEXT = "text"  # a column that every source has: the text of a sample


@dataclass(frozen=True)
class Parser:
    """How the cells of a column are read.

    Attributes:
        type: of the column in the samples.
        parse: gives a cell's value, or why it cannot be used.
    """

    type: pa.DataType
    parse: Callable[[Value], Value | Problem]


def column_parsers(tasks: Mapping[str, TaskSettings], slices: tuple[str, ...]) -> dict[str, Parser]:
    """Of the labels of tasks, then of slices."""
    parsers = {
        task.column: Parser(LABELS[task.kind].TYPE, LABELS[task.kind].parse)
        for task in tasks.values()
        if task.column not in IDS  # which the source does not give
    }
    return {column: Parser(pa.string(), as_text) for column in slices} | parsers


def as_text(value: Value) -> str | Problem | None:
    """A cell as one word; None if it is empty."""
    return None if value is None else word(value)


def cell(row: Record, column: str) -> Value:
    """A cell of a row whose media are good; its own text, if the source has no such column."""
    if column == OWN_TEXT and column not in row.columns and "text" in row.media:
        return decode(row.media["text"].load())
    return row.columns.get(column)
