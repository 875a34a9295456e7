"""Recorded speech for the captions or questions of a source, from tables of ids and files."""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import model_validator

from components.common.errors import InputError, listed
from components.ingest.records import BadRow, Media, Record, RowError, Rows
from components.ingest.sources.delimited import Quoting
from components.ingest.sources.files import Folder, file, folder, lines, read_file
from components.ingest.sources.streaming import Lookup, identity, string
from components.ingest.sources.table import DELIMITED, FORMATS, Row
from components.stage.settings import Section
from components.tasks.labels import parse_word

log = logging.getLogger(__name__)

Entries = Iterator[Row | BadRow]  # rows with the columns of ids and of sounds


class RecordingTable(Section):
    """A table of caption or question ids and sound files.

    Flickr8k-audio's wav2capt.txt and SpeechCOCO's databases (.sqlite3) are read as published; a
    CSV, JSON Lines or Parquet file needs the names of its columns.
    """

    file: str
    """Below `ingest.root`."""
    sounds: str = "."
    """Folder that the paths in the table start from."""
    id: str | None = None
    """Column of the ids of captions or questions."""
    audio: str | None = None
    """Column of the paths of sound files."""
    quoting: Quoting = "auto"
    """Whether quotes in CSV are those of cells (quotes) or text (none); auto: by the file."""

    @model_validator(mode="after")
    def _columns_are_named(self):
        published = self.file.endswith((".txt", ".sqlite3"))
        if published != (self.id is None) or published != (self.audio is None):
            raise ValueError(
                f"file: {self.file!r}: the columns id and audio are needed for "
                f"{', '.join(FORMATS)}, and not for .txt (Flickr8k-audio) and .sqlite3 (SpeechCOCO)"
            )
        return self


@dataclass(frozen=True)
class Table:
    """A table, its folder of sounds, and the columns that hold the id and the path."""

    path: Path
    sounds: Folder
    id: str
    audio: str
    quoting: Quoting
    setting: str  # that names it


def with_recordings(rows: Rows, tables: tuple[RecordingTable, ...], root: Path) -> Rows:
    """Give rows their sounds: one record per sound, or the record as it is if there is none.

    The id of a record is its column `caption_id` or `question_id`, or else its row id. A record
    with a sound has the sound's path at the end of its row id, so that several sounds of one text
    are several records, and adding one changes no other. Bad rows of the tables come first.
    Raises `InputError` if a table or folder is missing or cannot be read, or a record that already
    has a sound is in a table.
    """
    opened = [_open(table, root, number) for number, table in enumerate(tables)]
    with closing(Lookup()) as sounds:
        for table in opened:
            yield from _list_sounds(table, sounds)
        for row in rows:
            yield from [row] if isinstance(row, BadRow) else _spoken(row, sounds, root)
        rest = sounds.rest()
        if first := next(rest, None):
            count = 1 + sum(1 for _ in rest)
            log.warning("%d sounds belong to no row; the first: id %s, %s", count, *first)


def _open(table: RecordingTable, root: Path, number: int) -> Table:
    setting = f"ingest.speech.tables.{number}"
    path = file(root, table.file, f"{setting}.file")
    if path.suffix not in READERS:
        raise InputError(
            f"{setting}.file: found {table.file!r}, expected a name that ends with one of "
            f"{', '.join(READERS)}"
        )
    sounds = folder(root, table.sounds, f"{setting}.sounds")
    columns = table.id or "captionID", table.audio or "wavFilename"
    return Table(path, sounds, *columns, table.quoting, f"{setting}.quoting")


def _list_sounds(table: Table, sounds: Lookup) -> Iterator[BadRow]:
    """Store the sounds of every id; yield the rows that cannot be used."""
    for row in READERS[table.path.suffix](table):
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            sound = table.sounds(string(row.cells, table.audio))
            sounds.add(identity(row.cells, table.id), sound.key)
        except RowError as error:
            yield error.at(row.place)


def _spoken(record: Record, sounds: Lookup, root: Path) -> Iterator[Record]:
    columns = record.columns
    text_id = parse_word(columns.get("caption_id") or columns.get("question_id"))
    found = sounds.take(str(text_id or record.row_id))
    if found and "audio" in record.media:
        raise InputError(
            f"ingest.speech: row {record.row_id} has a sound, and the tables give it another, "
            f"{found[0]}. Remove one of the two from params.yaml"
        )
    for path in found:
        sound = Media(path, partial(read_file, os.path.join(root, path)))
        media = {**record.media, "audio": sound}
        yield replace(record, row_id=f"{record.row_id}:{path}", media=media)
    if not found:
        yield record


def _read_table(table: Table) -> Entries:
    """Read a file with named columns, as the source `table` does."""
    suffix = table.path.suffix
    layout = {"quoting": table.quoting, "setting": table.setting} if suffix in DELIMITED else {}
    opened = FORMATS[suffix](table.path, table.path.name, **layout)
    missing = {table.id, table.audio} - set(opened.columns)
    if missing and opened.columns:
        raise InputError(
            f"{table.path}: there is no column {', '.join(sorted(missing))}; it has "
            f"{listed(opened.columns)}. Mend ingest.speech.tables"
        )
    return opened.rows([table.id, table.audio])


def _read_wav2capt(table: Table) -> Entries:
    """Read Flickr8k-audio's lines `<sound> <image> #<number>`; caption ids are `<image>#<n>`."""
    for number, line in lines(table.path):
        place = f"{table.path.name}:{number}"
        match line.split():
            case [sound, image, caption] if caption.startswith("#"):
                yield Row(place, {table.audio: sound, table.id: image + caption})
            case [_, *_]:
                detail = f"found {line[:60]!r}, expected <sound> <image> #<number>"
                yield BadRow(place, None, "row_malformed", detail)


def _read_speech_coco(table: Table) -> Entries:
    """Read the table `captions` of SpeechCOCO's databases."""
    address = f"{table.path.resolve().as_uri()}?mode=ro&immutable=1"
    query = f"SELECT {table.id}, {table.audio} FROM captions ORDER BY {table.id}, {table.audio}"
    with closing(sqlite3.connect(address, uri=True)) as database:
        try:
            for caption, sound in database.execute(query):
                cells = {table.id: caption, table.audio: sound}
                yield Row(f"{table.path.name}:caption {caption}", cells)
        except sqlite3.Error as error:
            raise InputError(
                f"{table.path} cannot be read as a SpeechCOCO database: {error}. Save it again"
            ) from error


READERS: dict[str, Callable[[Table], Entries]] = {
    **dict.fromkeys(FORMATS, _read_table),
    ".txt": _read_wav2capt,
    ".sqlite3": _read_speech_coco,
}
