"""New data by a folder: whatever lies in it is moved to the same place in `ingest.root`.

Nothing is lost or overwritten. A file gets its new name before it loses the old one, so that a
move that was killed is finished by the next one.
"""

import errno
import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from components.common.errors import InputError

SHOWN = 10  # files that an error names
UNFINISHED = ".unfinished"  # ends the name of a copy from another disk, which no glob then takes


def collect(drop: Path, root: Path) -> list[str]:
    """Move every file below `drop` to the same place below `root`; give their paths there.

    Names that begin with a dot are left alone: whoever copies a file here does so under one, and
    renames it when it is whole.

    Raises:
        InputError: a file is a link, or its place holds something else; nothing was moved then.
    """
    files = list(_files(drop))
    _refuse([path for path in files if path.is_symlink()], "is a link. Put the file itself there")
    taken = [path for path in files if _taken(path, root / path.relative_to(drop))]
    _refuse(taken, f"is in {root} too, with other content. Give it another name, or remove the old")
    new = [path.relative_to(drop) for path in files if _move(path, root / path.relative_to(drop))]
    _remove_empty_folders(drop)
    return [path.as_posix() for path in new]


def _files(folder: Path) -> Iterator[Path]:
    """All that is no folder, sorted by path, without hidden names."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*names, *links]) if name[0] != ".")


def _refuse(files: Sequence[Path], problem: str) -> None:
    if not files:
        return
    names = ", ".join(str(path) for path in files[:SHOWN])
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    raise InputError(f"{names}{more}: {problem}")


def _taken(path: Path, place: Path) -> bool:
    """Whether something else has the place, or the place of a folder above it."""
    if os.path.lexists(place):
        return not (place.is_file() and filecmp.cmp(path, place, shallow=False))
    return any(os.path.lexists(above) and not above.is_dir() for above in place.parents)


def _move(path: Path, place: Path) -> bool:
    """Move a file; False if it was there already."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        _link(path, place)
    except FileExistsError:
        if _taken(path, place):  # since it was looked at
            _refuse([path], f"is at {place} too, with other content")
        new = False
    else:
        new = True
    path.unlink()
    return new


def _link(path: Path, place: Path) -> None:
    """Give a file a second name, or its copy if that is on another disk; never another's."""
    try:
        os.link(path, place)
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
    copy = place.with_name(f"{place.name}{UNFINISHED}")
    shutil.copy2(path, copy)
    with open(copy, "rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(copy, place)
    finally:
        copy.unlink()


def _remove_empty_folders(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            with suppress(OSError):  # not empty
                os.rmdir(Path(parent, name))
