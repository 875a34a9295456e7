"""Records of text files with delimiters: every line that is not blank is in exactly one of them.

A quote that is no quote of CSV would make one cell of all lines to the next one: such cells are
recognised, and their lines are errors.
"""

import csv
import logging
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from components.ingest.sources.files import lines

log = logging.getLogger(__name__)

Quoting = Literal["auto", "quotes", "none"]
Numbered = tuple[int, list[str] | csv.Error]  # of the first line; cells, or why there are none

SEVERAL_LINES = (
    "%s: %d rows have several lines, in quoted cells; the longest is lines %d to %d. "
    "If each line is a row, set %s: none; if not, quotes"
)
NOT_QUOTED = (
    "%s: quotes are read as text, since line %d cannot be read otherwise, and every line has as "
    "many cells as the header then. To decide yourself, set %s: none or quotes"
)
ERRORS = {  # what a message of the module csv says → what is wrong
    "expected after": 'a quote in a cell in quotes is not doubled, as in "say ""yes"""',
    "unexpected end of data": "a quote is never closed",
}
ESCAPED = r"\""  # a quote in a cell, as some databases write it
BACKSLASHES = rf""". If {ESCAPED} is a quote, double it: sed 's/\\"/""/g' FILE > NEW"""
EXCEL = re.compile('"?sep=(.)"?[;,\t]*\\s*', re.IGNORECASE)  # a first line that Excel reads
SURE = 0.75  # of the lines of a record: if so many look like rows, they are
LARGEST_CELL = 2**24  # characters; a quote that is never closed ends there


class Delimited:
    """A file with one record per line, or several lines where cells are quoted.

    `quoting` is that of the file, which `setting` names in messages: "auto" looks whether quotes
    are those of CSV. A first line such as `sep=;` is no record, and decides instead of `delimiter`.
    """

    def __init__(self, path: Path, delimiter: str, quoting: Quoting, setting: str):
        self._path, self._setting = path, setting
        said = EXCEL.fullmatch(next(lines(path), (1, ""))[1])
        self._first, self.delimiter = (1, said[1]) if said else (0, delimiter)
        mark = re.escape(self.delimiter)
        doubled = '(""[^"]*)' + ("+" if self.delimiter == "\t" else "*")
        self._quoted_cell = re.compile(f'(^|{mark})"[^"{mark}]*{doubled}"({mark}|$)')
        self._trusts_quotes = quoting == "quotes"
        self.quoting = quoting if quoting != "auto" else self._detected()

    def records(self) -> Iterator[Numbered]:
        """Yield the cells of each record with its first line's number, or an error.

        A malformed record is its first line alone, so that an extra quote does not swallow the
        rows below it. Logs how many records have several lines.
        """
        several = longest = start = 0
        for taken, cells in self._read():
            if isinstance(cells, list) and len(taken) > 1:
                several += 1
                longest, start = max((longest, start), (len(taken), taken[0][0]))
            if isinstance(cells, list):
                yield taken[0][0], cells
            else:
                yield from ((number, cells) for number, line in taken if not line.isspace())
        if several and not self._trusts_quotes:
            end = start + longest - 1
            log.info(SEVERAL_LINES, self._path, several, start, end, self._setting)

    def _read(self) -> Iterator[tuple[list[tuple[int, str]], list[str] | csv.Error]]:
        """Yield numbered lines with the cells that they hold together, or what each suffers."""
        csv.field_size_limit(LARGEST_CELL)
        source, width = _Lines(self._lines()), 0
        style = csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL
        reader = csv.reader(source, delimiter=self.delimiter, quoting=style, strict=True)
        while True:
            source.taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield source.taken[:1], self._explained(error, source.taken[0][1])
                source.give_back()
                continue
            width = width or len(cells)
            if not self._trusts_quotes and self._are_rows(source.taken, width):
                yield source.taken, self._swallowed(source.taken)
            elif cells:
                yield source.taken, cells

    def _lines(self) -> Iterator[tuple[int, str]]:
        return islice(lines(self._path), self._first, None)

    def _explained(self, error: csv.Error, line: str) -> csv.Error:
        why = next((why for words, why in ERRORS.items() if words in str(error)), str(error))
        hint = f". If quotes are text, set {self._setting}: none" if self.quoting != "none" else ""
        return csv.Error(f"{why}{hint}{BACKSLASHES if ESCAPED in line else ''}")

    def _are_rows(self, taken: list[tuple[int, str]], width: int) -> bool:
        """Return whether nearly all of several lines of one record have the cells of a row."""
        if len(taken) == 1 or width == 1:
            return False
        each = [self._has_cells(line, width) for _, line in taken if not line.isspace()]
        return sum(each) >= SURE * len(each)

    def _has_cells(self, line: str, width: int) -> bool:
        return line.count(self.delimiter) == width - 1

    def _swallowed(self, taken: list[tuple[int, str]]) -> csv.Error:
        return csv.Error(
            f"a quote in line {taken[0][0]} that is closed in line {taken[-1][0]} makes one row of "
            f"lines that look like rows. If quotes are text, set {self._setting}: none; if the "
            "cell really has line ends, quotes"
        )

    def _detected(self) -> Literal["quotes", "none"]:
        """Return "none" if the file, read with quotes, has errors, and none without them."""
        self.quoting = "quotes"
        with open(self._path, "rb") as file:
            if not any(b'"' in line for line in file):
                return "quotes"
        errors = (taken[0][0] for taken, cells in self._read() if isinstance(cells, csv.Error))
        trouble = next(errors, None)
        if trouble is None or self._is_quoted():
            return "quotes"
        log.info(NOT_QUOTED, self._path, trouble, self._setting)
        return "none"

    def _is_quoted(self) -> bool:
        """Return whether a line shows quoting: in the header, by its cells, or their number."""
        width = 0
        for _, line in self._lines():
            if not width:
                width = 1 + line.count(self.delimiter)
                if '"' in line:
                    return True
                continue
            has_cells = line.isspace() or self._has_cells(line, width)
            if not has_cells or self._quoted_cell.search(line.rstrip("\n")):
                return True
        return False


def wrong_number(cells: Sequence[str], header: Sequence[str], delimiter: str) -> str | None:
    """Return what is wrong with a record that has not as many cells as the header, if so."""
    if len(cells) == len(header):
        return None
    if len(header) == 1:
        hint = f" ({header[0]!r}). The names of the columns must be in the first line"
    elif len(cells) > len(header) and not any(cells[len(header) :]):
        hint = f". The line ends in {delimiter!r}: let the header end in it too"
    else:
        hint = f". A cell that holds {delimiter!r} or a line end needs quotes around it"
    return f"found {len(cells)} cells, expected {len(header)} as in the header{hint}"


class _Lines:
    """Lines of a file, which can be given back if they turn out not to be part of a record."""

    def __init__(self, numbered: Iterator[tuple[int, str]]):
        self._lines = numbered
        self._waiting: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.taken.append(self._waiting.popleft() if self._waiting else next(self._lines))
        return self.taken[-1][1]

    def give_back(self) -> None:
        """Return all taken lines but the first."""
        self._waiting.extendleft(reversed(self.taken[1:]))
