"""A process that outlives its starter, and that is ended as exactly the one that was started."""

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
    """A leader of a session of its own, known again by when it began.

    Attributes:
        pid: of the leader, and of its session.
        began: seconds since the epoch, as psutil gives them.
    """

    pid: int
    began: float

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
        """Start a process in the background; what it prints is appended to `log`."""
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
        """Whether the leader is alive: a process of the same number that began later is not it."""
        try:
            found = psutil.Process(self.pid)
            alive = found.create_time() == self.began and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return alive

    def members(self) -> list[psutil.Process]:
        """The living processes of its session, also when the leader is dead.

        A session's number is not given to another one as long as it has a member.
        """
        try:
            if psutil.Process(self.pid).create_time() != self.began:
                return []
        except psutil.NoSuchProcess:
            pass
        return [found for found in psutil.process_iter() if _session(found.pid) == self.pid]

    def end(self, polite: signal.Signals = signal.SIGTERM) -> None:
        """Ask the leader to end; kill what is left of its session then, or if it is dead."""
        left = self.members()
        if self.runs():
            os.kill(self.pid, polite)
            _, left = psutil.wait_procs(left, timeout=STOP_SECONDS)
        for member in left:
            member.kill()
        psutil.wait_procs(left, timeout=STOP_SECONDS)

    def wait(self, ready: Callable[[], bool], name: str, log: Path) -> None:
        """Wait until it answers.

        Raises:
            ServiceFailed: it ended, or gave no answer in time; with the end of its log.
        """
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
