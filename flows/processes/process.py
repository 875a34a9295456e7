"""Processes that outlive their starter, and are identified exactly when they are ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1


class ServiceFailed(Exception):
    """A service did not start."""


@dataclass(frozen=True)
class Process:
    """The leader of a session, identified by its PID and start time."""

    pid: int  # that of its session, too
    began: float  # seconds since the epoch, as psutil gives them

    @classmethod
    def start(
        cls,
        argv: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        cwd: Path,
        user: int | None = None,
        group: int | None = None,
    ) -> "Process":
        """Start a process in the background; its output is appended to `log`."""
        with log.open("ab") as output:
            started = subprocess.Popen(
                argv,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
            )
        return cls(started.pid, psutil.Process(started.pid).create_time())

    def runs(self) -> bool:
        """Return whether the leader is alive, and not another process with its PID."""
        try:
            found = psutil.Process(self.pid)
            return found.create_time() == self.began and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def members(self) -> list[psutil.Process]:
        """Return the living processes of its session, even if the leader is dead.

        A session's id is not reused as long as it has a member.
        """
        try:
            if psutil.Process(self.pid).create_time() != self.began:
                return []
        except psutil.NoSuchProcess:
            pass
        return [found for found in psutil.process_iter() if _session(found.pid) == self.pid]

    def end(self, polite: signal.Signals = signal.SIGTERM) -> None:
        """Ask the leader to end, then kill what is left of its session."""
        left = self.members()
        if self.runs():
            os.kill(self.pid, polite)
            _, left = psutil.wait_procs(left, timeout=STOP_SECONDS)
        for member in left:
            member.kill()
        psutil.wait_procs(left, timeout=STOP_SECONDS)

    def wait(self, ready: Callable[[], bool], name: str, log: Path) -> None:
        """Wait until it is ready; raise ServiceFailed with the end of its log if it never is."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            late = time.monotonic() > deadline
            if late or not self.runs():
                what = f"gave no answer in {START_SECONDS:.0f} s" if late else "ended"
                end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise ServiceFailed(f"{name} {what}; the end of {log}:\n{end}")
            time.sleep(POLL_SECONDS)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
