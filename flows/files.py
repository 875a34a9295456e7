"""DVC's own files, written so that none is ever there by half."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dvc.fs import LocalFileSystem
from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK


class Files(LocalFileSystem):
    """DVC's own, but its list of who reads and writes what appears whole or not at all.

    DVC refuses to go on with half a list.
    """

    def open(self, path: str, mode: str = "r", **kwargs) -> IO:
        if mode == "w" and os.path.basename(path) == RWLOCK_FILE:
            return replacing(Path(path), Path(path).parent)
        return super().open(path, mode, **kwargs)


def mend_rwlock(repo: Repo) -> None:
    """Remove DVC's list of who reads and writes what, if a process was killed while writing it.

    DVC itself refuses to go on with half a list. Who writes it holds the guard.
    """
    hardlink = repo.config["core"].get("hardlink_lock", False)
    guard = os.path.join(repo.tmp_dir, RWLOCK_LOCK)
    path = Path(repo.tmp_dir, RWLOCK_FILE)
    with make_lock(guard, tmp_dir=repo.tmp_dir, hardlink_lock=hardlink):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except ValueError:
            path.unlink()


@contextmanager
def replacing(path: Path, folder: Path) -> Iterator[IO[str]]:
    """A file that takes the place of `path` when it is whole; it grows in `folder`."""
    unfinished = folder / f"{path.name}.unfinished"
    with open(unfinished, "w", encoding="utf-8") as file:
        yield file
    os.replace(unfinished, path)
