"""The columns of the samples beside split and assets, and how a source's cells become theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from components.config.section import IDS
from components.config.settings import TaskSettings
from components.ingest.record import Value
from components.model.labels import LABELS
from components.model.labels.words import word
from components.store.errors import Problem


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
