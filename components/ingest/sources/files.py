"""What readers of files share: safe paths, text in UTF-8, names of splits, and clear errors."""

import codecs
import difflib
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from components.common.errors import InputError
from components.data.tables import Split
from components.ingest.record import BadRow, Media

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[/\\]")  # Windows' paths too
SHOWN = 10  # names that an error lists
SHORT = 80  # characters of a value that an error shows


class RowError(Exception):
    """Why no record can be made of a row: asset, reason and detail as of a `BadRow`."""

    def __init__(self, asset: str | None, reason: str, detail: str):
        super().__init__(detail)
        self.asset, self.reason, self.detail = asset, reason, detail

    def at(self, line: str) -> BadRow:
        """The bad row at a place of the source."""
        return BadRow(line, self.asset, self.reason, self.detail)


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value[: SHORT + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def media_file(root: Path, name: str, folder: str = "") -> Media:
    """The media file that a row names by its path from a folder. Whether it is there shows later.

    Args:
        root: without symbolic links, as `Path.resolve` gives it; the file is below it.
        name: with slashes, as `images/cat.png`.
        folder: its path from the root; empty for the root itself.

    Returns:
        The file, whose key is its path from the root.

    Raises:
        RowError: `path_invalid`, `path_backslash`, `path_absolute` or `path_outside`.
    """
    if "\0" in name or not name.strip() or not is_unicode(name):
        raise RowError(None, "path_invalid", f"the path {short(name)} can name no file")
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
    return Media(key, partial(read_file, path))


def read_file(path: str) -> bytes:
    """The bytes of a file; for a path a row, where pathlib would keep every part of each."""
    with open(path, "rb") as stream:
        return stream.read()


def lies_below(root: Path, path: str | Path) -> bool:
    """Whether `path`, symbolic links followed, is in `root`, which has none."""
    folder, name = os.path.split(path)
    plain = name not in (".", "..") and not os.path.islink(path)
    real = f"{_real_folder(folder)}/{name}" if plain else os.path.realpath(path)
    return real.startswith(os.path.join(root, ""))


@lru_cache(maxsize=4096)  # a source has few folders, and each look-up asks the disk several times
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def source_path(root: Path, name: str, setting: str) -> Path:
    """The file or folder in the root, or the root itself, that a setting names.

    Args:
        root: without symbolic links.
        name: the path from the root.
        setting: its key in params.yaml.

    Raises:
        InputError: it lies elsewhere, or there is none; names the nearest one.
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


def surroundings(path: Path) -> str:
    """What lies where `path` should be: the nearest name and a few others."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(folder).parts[0]
    names = sorted(entry.name for entry in folder.iterdir())
    return f"{nearest(missing, names)}{folder} holds {listed(names)}"


def nearest(word: str, names: Iterable[str]) -> str:
    """A question with the name that is most like `word`; nothing if none is like it."""
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}? " if near else ""


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}" if names else "nothing"


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a text file with their numbers, from 1; each ends in \n, the last one maybe.

    A byte-order mark is left out, and \r\n becomes \n. A line that is not UTF-8 is passed on with
    surrogates in the place of its bad bytes: see `is_unicode`.

    Raises:
        InputError: the file is UTF-16.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise InputError(f"{path} is UTF-16, expected UTF-8. Save it as UTF-8")
                line = line.removeprefix(codecs.BOM_UTF8)
            text = line.decode(errors="surrogateescape")
            yield number, f"{text[:-2]}\n" if text.endswith("\r\n") else text


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: whether it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def known_split(word: str, asset: str) -> Split:
    """The split that a word of the field `asset` means.

    Raises:
        RowError: `split_unknown`.
    """
    split = SPLIT_NAMES.get(word.strip().casefold())
    if split is None:
        names = ", ".join(SPLIT_NAMES)
        detail = f"{asset!r} holds {short(word)}, expected one of: {names}"
        raise RowError(asset, "split_unknown", detail)
    return split
