"""What the readers of published data sets share: JSON as a stream, and look-ups on disk."""

import codecs
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson

from components.common.errors import InputError
from components.ingest.record import Media
from components.ingest.sources.files import RowError, media_file, short, source_path

CHUNK = 16_384  # bytes of JSON whose elements are in memory together


@dataclass(frozen=True)
class Folder:
    """A folder below the root whose files the rows of a source name.

    Attributes:
        root: the root, without symbolic links.
        name: the folder's path from the root, `.` for the root itself.
    """

    root: Path
    name: str

    def media(self, name: str) -> Media:
        """The file that a row names: see `media_file`."""
        return media_file(self.root, name, self.name)


def folder(root: Path, name: str, setting: str) -> Folder:
    """The folder below the root that a setting names.

    Raises:
        InputError: it lies elsewhere, or there is none.
    """
    root = root.resolve()
    if not source_path(root, name, setting).is_dir():
        raise InputError(f"{setting}: {name} below ingest.root ({root}) is a file, no folder")
    return Folder(root, name)


def file(root: Path, name: str, setting: str) -> Path:
    """The file below the root that a setting names.

    Raises:
        InputError: it lies elsewhere, or there is none.
    """
    path = source_path(root.resolve(), name, setting)
    if not path.is_file():
        raise InputError(f"{setting}: {name} below ingest.root ({root}) is a folder, no file")
    return path


def refuse_same_name(files: list[Path]) -> None:
    """Refuse files of one name in several folders, since the ids of their rows start with it.

    Raises:
        InputError: two files have the same name.
    """
    seen: dict[str, Path] = {}
    for path in files:
        if path.name in seen:
            raise InputError(
                f"{path} and {seen[path.name]} have the same name, which the ids of their rows "
                "start with. Rename one of them"
            )
        seen[path.name] = path


def items(path: Path, key: str, required: bool = True) -> Iterator[tuple[str, Any]]:
    """The elements of the list `key` of the JSON object in a file, one by one, each with its place.

    Raises:
        InputError: the file is not JSON, or `required` and it has no such list or an empty one.
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
                f"{_first_line(error)}. Fetch the file again"
            ) from error
    if required and number < 0:
        raise InputError(
            f"{path}: found no element in a list {key!r}, expected a JSON object with one. "
            "Check that the setting names the right file"
        )


def _first_line(error: Exception) -> str:
    message = error.args[0] if isinstance(error, ijson.JSONError) else str(error)
    if isinstance(message, bytes):  # of bytes that are not UTF-8
        message = message.decode(errors="replace")
    return message.splitlines()[0]


def identity(item: Any, field: str) -> str:
    """A field that is an id, a whole number or a string, as a string.

    Raises:
        RowError: it is missing or something else.
    """
    value = present(item, field)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _invalid(field, value, "a whole number or a string")
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise _invalid(field, value, "UTF-8") from error
    return str(value)


def string(item: Any, field: str) -> str:
    """A field that is a string.

    Raises:
        RowError: it is missing or something else.
    """
    value = present(item, field)
    if not isinstance(value, str):
        raise _invalid(field, value, "a string")
    return value


def present(item: Any, field: str) -> Any:
    """A field that is there and not null.

    Raises:
        RowError: it is not, or the item has no fields.
    """
    if not isinstance(item, dict):
        raise RowError(None, "row_malformed", f"found {short(item)}, expected an object")
    if item.get(field) is None:
        raise RowError(field, "field_missing", f"the field {field!r} is missing")
    return item[field]


def _invalid(field: str, value: Any, expected: str) -> RowError:
    return RowError(
        field, "field_invalid", f"the field {field!r} is {short(value)}, expected {expected}"
    )


def line_of(path: Path, item: Any, field: str, place: str) -> str:
    """The file's name and the item's id, or its place if it has none."""
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
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT, value TEXT, taken INTEGER)"
        )
        self._database.execute("CREATE INDEX by_key ON entries (key)")

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, key: str, value: Any) -> None:
        """Add a value (as JSON can hold it) to those of a key."""
        self._database.execute(
            "INSERT INTO entries (key, value, taken) VALUES (?, ?, 0)", (key, json.dumps(value))
        )

    def get(self, key: str) -> list[Any]:
        """The values of a key in the order added."""
        found = self._database.execute(
            "SELECT value FROM entries WHERE key = ? ORDER BY number", (key,)
        )
        return [json.loads(value) for (value,) in found]

    def take(self, key: str) -> list[Any]:
        """The same, and `rest` will leave them out."""
        self._database.execute("UPDATE entries SET taken = 1 WHERE key = ? AND NOT taken", (key,))
        return self.get(key)

    def rest(self) -> Iterator[tuple[str, Any]]:
        """Every key and value that was not taken, in the order added."""
        found = self._database.execute(
            "SELECT key, value FROM entries WHERE NOT taken ORDER BY number"
        )
        for key, value in found:
            yield key, json.loads(value)
