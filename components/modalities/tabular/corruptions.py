"""Corruptions of rows of numbers and categories.

A row is never left empty: where nothing would remain, it stays as it was.
"""

import json
from collections.abc import Callable
from functools import wraps

import numpy as np

from components.modalities.corruption import Alter, Corruption
from components.modalities.tabular.decoding import Cells, decode, number


def on_cells(alter: Callable[[Cells, float, np.random.Generator], Cells]) -> Alter:
    """Files to files, from a function of cells."""

    @wraps(alter)
    def on_file(content: bytes, level: float, rng: np.random.Generator) -> bytes:
        changed = alter(decode(content), level, rng)
        return json.dumps(changed, ensure_ascii=False).encode() if changed else content

    return on_file


@on_cells
def missing_cells(cells: Cells, fraction: float, rng: np.random.Generator) -> Cells:
    """A fraction of the cells is missing."""
    kept = rng.random(len(cells)) >= fraction
    return {column: cell for (column, cell), k in zip(cells.items(), kept, strict=True) if k}


@on_cells
def number_noise(cells: Cells, deviation: float, rng: np.random.Generator) -> Cells:
    """Numbers are multiplied by 1 plus normal noise."""
    factors = 1 + deviation * rng.standard_normal(len(cells))
    return {
        column: cell if np.isnan(value := number(cell)) else str(value * factor)
        for (column, cell), factor in zip(cells.items(), factors, strict=True)
    }


@on_cells
def wrong_column(cells: Cells, fraction: float, rng: np.random.Generator) -> Cells:
    """A fraction of the cells changes places with any other cell, one after the other."""
    columns = list(cells)
    hit, other = rng.random((2, len(cells)))
    for place in np.flatnonzero(hit < fraction):
        one, two = columns[place], columns[int(other[place] * len(columns))]
        cells[one], cells[two] = cells[two], cells[one]
    return cells


CORRUPTIONS = {
    "missing_cells": Corruption("tabular", missing_cells, (0.1, 0.2, 0.3, 0.4, 0.5), is_quick=True),
    "number_noise": Corruption("tabular", number_noise, (0.05, 0.1, 0.2, 0.4, 0.8), is_quick=True),
    "wrong_column": Corruption("tabular", wrong_column, (0.1, 0.2, 0.3, 0.4, 0.5)),
}
