"""Helpers of readers of published data sets: JSON as a stream, and look-ups on disk."""

import codecs
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ijson

from components.common.errors import InputError
from components.ingest.records import Record, RowError, Rows
from components.ingest.sources.files import is_unicode, short

CHUNK = 16_384  # bytes of JSON whose elements are in memory together


def json_items(path: Path, key: str, required: bool = True) -> Iterator[tuple[str, Any]]:
    """Yield the elements of the list `key` of the JSON object in a file, each with its place.

    Raises `InputError` if it is not JSON, or if the list is `required` and missing or empty.
    """
    number = -1
    with open(path, "rb") as stream:
        if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            stream.seek(0)
        try:
            found = ijson.items(stream, f"{key}.item", use_float=True, buf_size=CHUNK)
            for number, item in enumerate(found):
                yield f"{path.name}:{key}[{number}]", item
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} is not JSON, by what is found in its first {stream.tell()} bytes: "
                f"{_first_line(error)}. Download the file again"
            ) from error
    if required and number < 0:
        raise InputError(
            f"{path}: found no element in a list {key!r}, expected a JSON object with that list. "
            "Check that the setting names the right file"
        )


def _first_line(error: Exception) -> str:
    message = error.args[0] if isinstance(error, ijson.JSONError) else str(error)
    if isinstance(message, bytes):  # of bytes that are not UTF-8
        message = message.decode(errors="replace")
    return message.splitlines()[0]


def each_item(
    path: Path,
    key: str,
    take: Callable[[str, Any], Record | None],
    id_field: str | None = None,
    required: bool = True,
) -> Rows:
    """Call `take` with a row id and an element of the list `key`, one by one.

    Yield the records that it returns, and a bad row for each `RowError` that it raises. The row id
    is the element's place, or made from its field `id_field`; `required` as for `json_items`.
    """
    for place, item in json_items(path, key, required):
        row_id = row_id_of(path, item, id_field, place) if id_field else place
        try:
            if record := take(row_id, item):
                yield record
        except RowError as error:
            yield error.at(row_id)


def identity(item: Any, field: str) -> str:
    """Return an id, a whole number or a string, as a string; raise `RowError` if it is neither."""
    value = present(item, field)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _invalid(field, value, "a whole number or a string")
    if not is_unicode(str(value)):
        raise _invalid(field, value, "UTF-8")
    return str(value)


def string(item: Any, field: str) -> str:
    """Return a field that is a string; raise `RowError` if it is missing or something else."""
    value = present(item, field)
    if not isinstance(value, str):
        raise _invalid(field, value, "a string")
    return value


def present(item: Any, field: str) -> Any:
    """Return a field; raise `RowError` if it is missing or null, or the item has no fields."""
    if not isinstance(item, dict):
        raise RowError(None, "row_malformed", f"found {short(item)}, expected an object")
    if item.get(field) is None:
        raise RowError(field, "field_missing", f"the field {field!r} is missing")
    return item[field]


def _invalid(field: str, value: Any, expected: str) -> RowError:
    return RowError(
        field, "field_invalid", f"the field {field!r} is {short(value)}, expected {expected}"
    )


def row_id_of(path: Path, item: Any, field: str, place: str) -> str:
    """Return the file's name and the item's id, or its place if it has none."""
    try:
        return f"{path.name}:{identity(item, field)}"
    except RowError:
        return place


class Lookup:
    """Values by key in a temporary database on disk, so that memory stays flat.

    SQLite deletes the database when it is closed, and when the process dies.
    """

    def __init__(self):
        self._database = sqlite3.connect("")
        self._database.executescript(
            "PRAGMA journal_mode = OFF;"
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT, value TEXT, taken INT);"
            "CREATE INDEX by_key ON entries (key);"
        )

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, key: str, value: Any) -> None:
        """Add a value (as JSON can hold it) to those of a key."""
        self._database.execute(
            "INSERT INTO entries (key, value, taken) VALUES (?, ?, 0)", (key, json.dumps(value))
        )

    def get(self, key: str) -> list[Any]:
        """Return the values of a key in the order added."""
        query = "SELECT value FROM entries WHERE key = ? ORDER BY number"
        return [json.loads(value) for (value,) in self._database.execute(query, (key,))]

    def take(self, key: str) -> list[Any]:
        """Return the same, and leave them out of `rest`."""
        self._database.execute("UPDATE entries SET taken = 1 WHERE key = ? AND NOT taken", (key,))
        return self.get(key)

    def rest(self) -> Iterator[tuple[str, Any]]:
        """Yield every key and value that was not taken, in the order added."""
        query = "SELECT key, value FROM entries WHERE NOT taken ORDER BY number"
        for key, value in self._database.execute(query):
            yield key, json.loads(value)
