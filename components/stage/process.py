"""The process of a stage: it ends with the one that started it, and shares its files with none."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
from filelock import FileLock, Timeout

from components.common.errors import Unavailable

POLL_SECONDS = 0.2
WAIT_SECONDS = 10.0  # for a run that is ending


@contextmanager
def ended_with_starter() -> Iterator[None]:
    """Kill this process and its children when the process that started it ends, however it ends."""
    done = Event()
    Thread(target=_watch, args=(starters(psutil.Process()), done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def starters(process: psutil.Process) -> list[psutil.Process]:
    """Return the parent of a process, and what started it if it is a shell that runs one command.

    DVC starts stages through a shell, which some shells replace by the command and others do not.
    """
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        parent = process.parent()
        while parent is not None:
            found.append(parent)
            parent = parent.parent() if "-c" in parent.cmdline() else None
    return found


def _watch(watched: list[psutil.Process], done: Event) -> None:
    while not done.wait(POLL_SECONDS):
        if not all(map(_lives, watched)):
            children = psutil.Process().children(recursive=True)
            for process in children:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            os.kill(os.getpid(), signal.SIGKILL)


def _lives(process: psutil.Process) -> bool:
    """Return whether a process is alive; one that nobody has waited for yet is not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def alone(paths: Iterable[Path]) -> Iterator[None]:
    """Let no other process use these files or folders meanwhile; wait for one that is ending.

    The operating system releases the locks of a process that is killed. Raises `Unavailable` if
    another process keeps a file for ten seconds.
    """
    with ExitStack() as stack:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=WAIT_SECONDS)
            try:
                stack.enter_context(lock)
            except Timeout as error:
                raise Unavailable(
                    f"{path} is in use: this stage runs already, in this folder. Wait until it has "
                    "ended, or end it"
                ) from error
        yield
