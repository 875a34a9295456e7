"""DVC's own files, written so that none is ever there by half."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc_objects.fs.local import LocalFileSystem


class AtomicFiles(LocalFileSystem):
    """DVC's file system, except that its list of readers and writers is replaced atomically.

    DVC refuses to run with a partial list.
    """

    def open(self, path: str, mode: str = "r", **kwargs) -> AbstractContextManager[IO]:
        if mode == "w" and os.path.basename(path) == RWLOCK_FILE:
            return replacing(Path(path), Path(path).parent)
        # DVC declares some of the modes only.
        return super().open(path, mode, **kwargs)  # pyright: ignore[reportCallIssue, reportArgumentType]


def repair_rwlock(repo: Repo) -> None:
    """Remove DVC's list of readers and writers if a process was killed while writing it."""
    assert repo.tmp_dir
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
    """Give a file that replaces `path` when it is complete; until then it is in `folder`."""
    unfinished = folder / f"{path.name}.unfinished"
    with open(unfinished, "w", encoding="utf-8") as file:
        yield file
    os.replace(unfinished, path)
