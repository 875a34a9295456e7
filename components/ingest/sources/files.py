"""Helpers of readers of files: safe paths, UTF-8 text, names of splits, clear errors."""

import codecs
import json
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from shlex import quote
from typing import Any

from components.common.errors import InputError, did_you_mean, listed
from components.common.formats import ONE_PER_LINE, other_table, read_start, recognised
from components.common.spelling import spelling
from components.data.samples import Split
from components.ingest.records import Media, RowError

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]")  # Windows' paths too
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:[a-z]+/")
Folder = Callable[[str], Media]  # the file that a row names by its path from a folder
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
WIDE: dict[str, Callable[[bytes], bool]] = {  # encodings by what a file begins with
    "UTF-32": lambda start: start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    "UTF-16": lambda start: start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    "UTF-16LE": lambda start: start[1:4:2] == b"\0\0" and b"\0" not in start[:4:2],
    "UTF-16BE": lambda start: start[:4:2] == b"\0\0" and b"\0" not in start[1:4:2],
}
MAX_SHOWN = 80  # characters of a value in an error message


def short(value: object) -> str:
    """Return a value as an error message shows it."""
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def media_file(root: Path, name: str, folder: str = "") -> Media:
    """Return the media file, which may not exist, that a row names; its key is its path from root.

    `root` has no symbolic links; `name` starts at `folder`, whose path starts at the root. Raises
    `RowError`: `path_invalid`, `path_backslash`, `path_absolute` or `path_outside`.
    """
    if "\0" in name or not name.strip() or not is_unicode(name):
        detail = f"the path {short(name)} cannot name a file, expected UTF-8 and no NUL. Rename it"
        raise RowError(None, "path_invalid", detail)
    if ADDRESS.match(name):
        detail = f"{short(name)} is an address or content, expected the path of a file below "
        detail += "ingest.root. Nothing is downloaded: write it to a file, and name that"
        raise RowError(name, "path_address", detail)
    if ABSOLUTE.match(name):
        detail = f"the path {short(name)} is absolute, expected one below ingest.root"
        raise RowError(name, "path_absolute", detail)
    if "\\" in name:
        detail = f"the path {short(name)} has backslashes, expected slashes"
        raise RowError(name, "path_backslash", detail)
    key = os.path.normpath(os.path.join(folder, name))
    path = os.path.join(root, key)
    if not lies_below(root, path):
        detail = f"the path {short(name)} leads out of ingest.root"
        raise RowError(name, "path_outside", detail)
    return Media(key, partial(read_file, path), partial(look_for_file, path))


def read_file(path: str) -> bytes:
    """Return the bytes of a file. Unlike pathlib it caches no path; there is one per row.

    Raises `OSError` as `look_for_file`.
    """
    look_for_file(path)
    with open(path, "rb") as stream:
        return stream.read()


def look_for_file(path: str) -> None:
    """Raise `OSError`, without opening it, unless there is a file.

    A folder, pipe, socket or device is none: it may never end. Of a missing file the error names
    one whose name differs in spelling only.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error.strerror}{_near_file(path)}") from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS.items() if is_kind(mode)), "no file")
        raise OSError(f"it is {kind}, expected a file")


def _near_file(path: str) -> str:
    """Return where a path parts from one that exists, if it differs in spelling only."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        return _near_file(folder) if folder != path else ""
    near = _names(folder).get(spelling(name))
    if near is None and (longer := _stems(folder).get(name)):
        return f"; there is {longer!r}. Correct the row"
    if near is None or near == name:
        return ""
    ways = {"Unicode form": _composed, "blanks": str.strip, "case": str.casefold}
    differs = [way for way, change in ways.items() if change(name) == change(near)]
    how = f"differs in {differs[0]}" if differs else "differs in case, blanks or Unicode form"
    return f"; there is {near!r}, which {how} from {name!r}. Rename it, or correct the row"


@lru_cache(maxsize=16)  # many rows name files of one folder
def _names(folder: str) -> dict[str, str]:
    """Return the names in a folder by their spelling."""
    return {spelling(name): name for name in sorted(os.listdir(folder))}


@lru_cache(maxsize=16)
def _stems(folder: str) -> dict[str, str]:
    """Return the names in a folder by what is before their suffix."""
    return {os.path.splitext(name)[0]: name for name in sorted(os.listdir(folder))}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def lies_below(root: Path, path: str | Path) -> bool:
    """Return whether `path`, symbolic links followed, is in `root`, which has none."""
    folder, name = os.path.split(path)
    plain = name not in (".", "..") and not os.path.islink(path)
    real = f"{_real_folder(folder)}/{name}" if plain else os.path.realpath(path)
    return real.startswith(os.path.join(root, ""))


@lru_cache(maxsize=4096)  # a source has few folders, and each look-up asks the disk several times
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def source_path(root: Path, name: str, setting: str) -> Path:
    """Return the file or folder in `root` (without symbolic links), or the root, of a setting.

    Raises `InputError` if it lies elsewhere, or there is none, and names the nearest one.
    """
    path = root / name
    if os.path.isabs(name) or not (path == root or lies_below(root, path)):
        raise InputError(
            f"{setting}: found {name!r}, expected a path below ingest.root ({root}). "
            "Move the data there, or let ingest.root name a folder above it"
        )
    if not path.exists():
        raise InputError(f"{setting}: {path} does not exist. {surroundings(path)}")
    return path


def folder(root: Path, name: str, setting: str) -> Folder:
    """Return the folder that a setting names; raise `InputError` unless it is below the root."""
    root = root.resolve()
    if not source_path(root, name, setting).is_dir():
        raise InputError(
            f"{setting}: {name} below ingest.root ({root}) is a file, expected a folder"
        )
    return partial(media_file, root, folder=name)


def file(root: Path, name: str, setting: str) -> Path:
    """Return the file that a setting names; raise `InputError` unless it is below the root."""
    path = source_path(root.resolve(), name, setting)
    if not path.is_file():
        raise InputError(
            f"{setting}: {name} below ingest.root ({root}) is a folder, expected a file"
        )
    return path


def optional_file(root: Path, name: str | None, setting: str) -> Path | None:
    """Return the same, or None if the setting is left out."""
    return None if name is None else file(root, name, setting)


def refuse_same_name(files: list[Path]) -> None:
    """Raise `InputError` if files of two folders have the same name: ids of rows start with it."""
    seen: dict[str, Path] = {}
    for path in files:
        if path.name in seen:
            raise InputError(
                f"{path} and {seen[path.name]} have the same name, which the ids of their rows "
                "start with. Rename one of them"
            )
        seen[path.name] = path


def surroundings(path: Path) -> str:
    """Return what is where `path` should be: the nearest name and a few others."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(folder).parts[0]
    names = sorted(entry.name for entry in folder.iterdir())
    return f"{did_you_mean(missing, names)}{folder} holds {listed(names)}"


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text file with their numbers from 1; each but the last ends in \n.

    A byte-order mark is removed, and \r\n and \r become \n. Bytes that are not UTF-8 become
    surrogates: see `is_unicode`. Raises `InputError` for other encodings, and what is not text.
    """
    _refuse_other_than_utf8(path, read_start(path))
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from enumerate(file, start=1)


def _refuse_other_than_utf8(path: Path, start: bytes) -> None:
    """Raise `InputError`, with the way out, if the first bytes of a file are those of another."""
    for name, is_that in WIDE.items():
        if is_that(start):
            raise InputError(
                f"{path} is {name}, expected UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8), or "
                f"convert it: iconv -f {name} -t UTF-8 {quote(path.name)} > new.csv"
            )
    if found := recognised(start):
        raise InputError(f"{path} is not text: {found}")


def refuse_other_table(path: Path, *expected: str) -> None:
    """Raise `InputError` if a text file looks like a table of another kind, with the way out."""
    if found := other_table(read_start(path), *expected):
        raise InputError(f"{path} is not {' or '.join(expected)}: {found}")


def json_object(line: str) -> dict[str, Any]:
    """Return the object in a line; raise `RowError` if it does not hold one."""
    if not is_unicode(line):
        raise RowError(None, "row_not_utf8", f"the line is {not_utf8(line)}")
    try:
        found = ONCE.decode(line)
    except (ValueError, RecursionError) as error:
        detail = f"the line is not JSON: {error}; {ONE_PER_LINE}"
        raise RowError(None, "row_unreadable", detail) from error
    if not isinstance(found, dict):
        detail = f"found {short(found)}, expected a JSON object; {ONE_PER_LINE}"
        raise RowError(None, "row_unreadable", detail)
    if "\\u" in line and not is_unicode(json.dumps(found, ensure_ascii=False)):
        raise RowError(None, "row_not_utf8", "the line holds half of a surrogate pair")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise `ValueError` if a key has two values, of which one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {key!r} occurs twice in one object")
    return found


ONCE = json.JSONDecoder(object_pairs_hook=_once)


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode a text, that is, it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_utf8(text: str) -> str:
    """Return what a text is that `lines` read with surrogates, and how to convert its file."""
    byte = next(ord(letter) - 0xDC00 for letter in text if "\udc80" <= letter <= "\udcff")
    letter = bytes([byte]).decode("cp1252", errors="ignore")
    meaning = f", {letter!r} in Windows-1252, which Excel writes" if letter else ""
    return (
        f"not UTF-8: it has the byte 0x{byte:02X}{meaning}. Save the file as UTF-8 (in Excel: CSV "
        "UTF-8), or convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
    )


def splits_in_names(paths: Iterable[Path]) -> frozenset[Split]:
    """Return the splits that words in the names of files name."""
    words = {word for path in paths for word in re.split(r"[^a-z]+", path.stem.casefold())}
    return frozenset(SPLIT_NAMES[word] for word in words & SPLIT_NAMES.keys())


def known_split(word: str, asset: str) -> Split:
    """Return the split that a word of the field `asset` means, or raise `RowError`."""
    if split := SPLIT_NAMES.get(word.strip().casefold()):
        return split
    detail = f"{asset!r} holds {short(word)}, expected one of: {', '.join(SPLIT_NAMES)}"
    raise RowError(asset, "split_unknown", detail)
