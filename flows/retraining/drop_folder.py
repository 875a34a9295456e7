"""New data in a folder: its files are moved to the same place in `ingest.root`.

Nothing is lost or overwritten. A file gets its new name before it loses the old one, so that the
next run finishes a move that was killed.
"""

import errno
import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dvc.dvcfile import LOCK_FILE, is_valid_filename

from components.common.errors import refuse

UNFINISHED = ".unfinished"  # suffix of a copy from another disk, which no glob matches


def collect(drop: Path, root: Path) -> list[str]:
    """Move every file below `drop` to the same place below `root`; return their paths there.

    Hidden files are left alone: copy a file here under a name that begins with a dot, and rename it
    when it is complete. Nothing is moved if a file is a link or one of DVC's, whose commands would
    run here, or if another file has its place.
    """
    files = list(_files(drop))
    refuse([path for path in files if path.is_symlink()], "is a link. Put the file itself there")
    of_dvc = [path for path in files if is_valid_filename(path.name) or path.name == LOCK_FILE]
    refuse(of_dvc, "is a file of DVC, which would run what it says. Remove it, or rename it")
    taken = [path for path in files if _taken(path, root / path.relative_to(drop))]
    refuse(taken, f"is in {root} too, with other content. Rename it, or remove the old one")
    new = [path.relative_to(drop) for path in files if _move(path, root / path.relative_to(drop))]
    _remove_empty_folders(drop)
    return [path.as_posix() for path in new]


def _files(folder: Path) -> Iterator[Path]:
    """Yield everything that is not a folder, sorted by path, without hidden names."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted([*names, *links]) if name[0] != ".")


def _taken(path: Path, place: Path) -> bool:
    """Return whether something else has the place, or that of a folder above it."""
    if os.path.lexists(place):
        return not (place.is_file() and filecmp.cmp(path, place, shallow=False))
    return any(os.path.lexists(above) and not above.is_dir() for above in place.parents)


def _move(path: Path, place: Path) -> bool:
    """Move a file; return whether it was new."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = True
    try:
        _link(path, place)
    except FileExistsError:
        if _taken(path, place):  # by another process meanwhile
            refuse([path], f"is at {place} too, with other content")
        new = False
    path.unlink()
    return new


def _link(path: Path, place: Path) -> None:
    """Give a file a second name, or copy it from another disk; never overwrite."""
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
