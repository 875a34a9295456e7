"""What a source gives: rows of media and columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.config.settings import Modality, Split


@dataclass(frozen=True)
class Media:
    """A media file of the source.

    Attributes:
        key: where it lies in the source; rows that share a key share the file.
        load: reads its bytes; may raise OSError.
    """

    key: str
    load: Callable[[], bytes]


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        line: where the row stands in the source; unique.
        split: the split it belongs to.
        media: its media; a modality that is missing is not a key.
        columns: labels and slices by column; None where unknown.
    """

    line: str
    split: Split
    media: Mapping[Modality, Media]
    columns: Mapping[str, str | None]
