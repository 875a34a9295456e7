"""Run a stage's command in a process group that never outlives the driver.

The command runs in a session of its own, so that signals reach everything it starts. A small
shell in the same group, the leash, holds the reading end of a pipe whose writing end only the
driver has: when the driver dies, even by SIGKILL, the kernel closes the pipe and the leash kills
the group. No orphan can then write into outputs that a later run is making.
"""

import contextvars
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread

GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
POLL_SECONDS = 0.05

LEASH = """
exec 3<&0 </dev/null
(trap "" TERM; read -r _; kill -KILL 0) <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


class Stopped(Exception):
    """The command was killed because the driver is stopping."""


class TimeLimit(Exception):
    """The command was killed because it ran longer than its limit."""


def run_command(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    log: Callable[[str], None],
    stopping: Event,
    timeout: float | None = None,
) -> int:
    """Run `argv`, hand each line that it prints to `log`, and return its exit code.

    Whatever happens, nothing of the command's process group is alive afterwards.

    Raises:
        Stopped: `stopping` was set first.
        TimeLimit: `timeout` seconds passed first.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", LEASH, "sh", *argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    # The logger finds the task that it logs for in the context.
    pump = Thread(target=contextvars.copy_context().run, args=(_pump, process, log), daemon=True)
    pump.start()
    try:
        return _wait(process, stopping, timeout)
    finally:
        _end_group(process, pump)


def _pump(process: subprocess.Popen, log: Callable[[str], None]) -> None:
    for line in process.stdout:
        log(line.rstrip("\n"))


def _wait(process: subprocess.Popen, stopping: Event, timeout: float | None) -> int:
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    while process.poll() is None:
        if stopping.wait(POLL_SECONDS):
            raise Stopped
        if time.monotonic() > deadline:
            raise TimeLimit
    return process.returncode


def _end_group(process: subprocess.Popen, pump: Thread) -> None:
    """End what is left of the group; the end of its output says that nothing but the leash is.

    The leash ignores SIGTERM, so the group's number cannot pass to another one meanwhile.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    pump.join(GRACE_SECONDS)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pump.join(GRACE_SECONDS)
    process.stdin.close()
    if not pump.is_alive():  # else a daemon that left the group still holds the other end
        process.stdout.close()
