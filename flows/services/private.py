"""Files and folders that other users of the machine cannot read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common.files import replacing

OTHERS = 0o077  # the bits of a mode that belong to the group and to everybody else


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever this process, and those that it starts, create in the body is their user's alone."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(path: Path, group: int | None = None) -> None:
    """Create a folder that only its owner can enter, and close one that exists.

    The members of `group`, if given, can pass through it to what belongs to them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(0o700 if group is None else 0o710)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with replacing(path) as unfinished:
        unfinished.touch(mode=0o600)
        unfinished.write_text(text)
