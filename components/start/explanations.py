"""Why the columns of a data set cannot be used, for error messages."""

import re
from collections.abc import Iterable
from typing import Any

from components.common.errors import Problem
from components.ingest.records import RowError
from components.ingest.sources.files import media_file, short
from components.modalities.registry import MODALITIES, inspection_of, modality
from components.start.columns import FILES, Column


def why_no_label(column: Column | None, rows: int) -> str:
    """Return why a column that is called like a label cannot be learnt; empty if there is none."""
    if column is None:
        return ""
    if len(column.counts) < 2:
        held = f"{next(iter(column.counts))!r} only" if column.counts else "nothing"
        return f". The column {column.name!r} holds {held}"
    held = "lists or objects" if column.is_nested else f"{len(column.counts):,} different values"
    return f". The column {column.name!r} holds {held} in {rows:,} rows"


def why_no_files(columns: Iterable[Column]) -> str:
    """Return what is wrong with the first column that looks like names of files, if there is one.

    That is the first file that cannot be used, or that the files are of several modalities.
    """
    for column in (c for c in columns if c.cells and _names_file(c.cells[0])):
        found = [_modality_of(column, cell) for cell in column.cells[:FILES]]
        kinds = sorted({m for m, _ in found if m})
        if len(kinds) > 1:
            why = f"the files are of {' and '.join(kinds)}, which need a column each"
        else:
            why = next((problem for m, problem in found if m is None), "no file can be used")
        return f". Of the column {column.name!r}: {why}"
    return ""


def _modality_of(column: Column, cell: Any) -> tuple[str | None, str]:
    """Return the modality of the file that a cell names, or why it has none."""
    try:
        content = media_file(column.root, str(cell)).load()
    except (RowError, OSError) as error:
        return None, f"{short(cell)}: {error}"
    if isinstance(content, Problem):
        return None, f"{short(cell)}: {content.detail}"
    problems: dict[str, str] = {}
    for m in (m for m in MODALITIES if not modality(m).is_inline):
        facts = inspection_of(m).inspect(content)
        if not isinstance(facts, Problem):
            return m, ""
        problems[m] = facts.detail
    return None, f"{short(cell)}: {next(iter(problems.values()))}"


def _names_file(cell: Any) -> bool:
    return isinstance(cell, str) and re.fullmatch(r"\S*[/\\]\S+|\S+\.\w{2,4}", cell) is not None
