"""What a source gives: rows of media and columns, and rows that cannot be used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from components.common.errors import Problem
from components.data.tables import Split
from components.modalities.registry import Modality

Value = str | float | tuple[str, ...] | None  # a label, a number, several labels; None: unknown


@dataclass(frozen=True)
class Media:
    """A media file of the source.

    Attributes:
        key: where it lies in the source; rows that share a key share the file.
        load: reads its bytes, or says what is wrong; may raise OSError; picklable, so that any
            process can call it.
    """

    key: str
    load: Callable[[], bytes | Problem]


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        line: where the row stands in the source, or its id there; unique.
        split: the split that the source puts it in; None if the source says nothing.
        media: its media; a modality that is missing is not a key.
        columns: labels, slices and groups by column; every row has the same keys.
    """

    line: str
    split: Split | None
    media: Mapping[Modality, Media]
    columns: Mapping[str, Value]


@dataclass(frozen=True)
class BadRow:
    """One row of a source that no record can be made of.

    Attributes:
        line: as of a record.
        asset: the file or field at fault, if it is one.
        reason: a stable code of lower-case letters, digits and underscores.
        detail: a sentence that says what was found and what was expected.
    """

    line: str
    asset: str | None
    reason: str
    detail: str


Rows = Iterator[Record | BadRow]  # every row of the source once, in its order
