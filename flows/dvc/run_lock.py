"""One run at a time in a working tree: runs share its files, so the others wait.

The operating system holds the lock, so that it is released when its process is killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from dvc.exceptions import DvcException
from dvc.repo import Repo
from filelock import FileLock, Timeout
from prefect import get_run_logger
from prefect.runtime import flow_run

from components.common.errors import InputError

POLL_SECONDS = 0.5


@contextmanager
def run_lock(stopping: Event) -> Iterator[None]:
    """Wait in a flow until no other process runs one in this DVC project, then keep others out.

    A flow that another one started shares its lock. If `stopping` is set meanwhile, the body is
    entered at once, without the lock.
    """
    try:
        folder = Path(Repo.find_root(), Repo.DVC_DIR, "tmp")
    except DvcException as error:
        raise InputError(str(error)) from error
    folder.mkdir(exist_ok=True)
    lock, holder = FileLock(folder / "run.lock", is_singleton=True), folder / "run"
    if not _acquire(lock, holder, stopping):
        yield
        return
    try:
        if lock.lock_counter == 1:
            name = f"{flow_run.flow_name} {flow_run.name} (process {os.getpid()})"
            holder.write_text(name, encoding="utf-8")
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, holder: Path, stopping: Event) -> bool:
    """Wait for the lock, and log who has it; return False if `stopping` was set first."""
    patience = 0.0
    while True:
        try:
            lock.acquire(timeout=patience)
            return True
        except Timeout:
            if not patience:
                name = holder.read_text(encoding="utf-8") if holder.exists() else "another run"
                get_run_logger().info("waiting for %s, which runs in this working tree", name)
            patience = POLL_SECONDS
        if stopping.is_set():
            return False
