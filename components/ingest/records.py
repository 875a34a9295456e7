"""What a source gives: rows with media and columns, and rows that cannot be used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from components.common.errors import Problem
from components.data.samples import Split

Value = str | float | tuple[str, ...] | None  # a label, a number, several labels; None: unknown


@dataclass(frozen=True)
class Media:
    """A media file of the source."""

    key: str  # its place in the source; rows with the same key share the file
    load: Callable[[], bytes | Problem]  # may raise OSError; picklable: any process may call it
    look: Callable[[], object] = bool  # raises OSError where `load` finds no file, without reading


@dataclass(frozen=True)
class Record:
    """One row of a source."""

    row_id: str  # the row's place in the source, or its id there; unique
    split: Split | None  # that the source puts it in; None if the source says nothing
    media: Mapping[str, Media]  # by modality; a missing one is not a key
    columns: Mapping[str, Value]  # labels, slices and groups; every row has the same keys
    place: str = ""  # the file, and the line or row in it, if the id is another


@dataclass(frozen=True)
class BadRow:
    """One row of a source that cannot become a record."""

    row_id: str
    asset: str | None  # the file or field at fault, if there is one
    reason: str  # a stable code of lower-case letters, digits and underscores
    detail: str  # a sentence: what was found and what was expected


class RowError(Exception):
    """Why a row cannot become a record: asset, reason and detail as in `BadRow`."""

    def __init__(self, asset: str | None, reason: str, detail: str):
        super().__init__(detail)
        self.asset, self.reason, self.detail = asset, reason, detail

    def at(self, row_id: str) -> BadRow:
        """Return the bad row with an id."""
        return BadRow(row_id, self.asset, self.reason, self.detail)


Rows = Iterator[Record | BadRow]  # every row of the source once, in its order
