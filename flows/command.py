"""Run a command in a process group that never outlives the driver.

The command runs in a session of its own, so that signals reach everything it starts. A small
shell in the same group, the leash, holds the reading end of a pipe whose writing end only the
driver has: when the driver dies, even by SIGKILL, the kernel closes the pipe and the leash kills
the group. No orphan can then write into outputs that a later run is making.
"""

import contextvars
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import IO

from components.common.errors import InputError

USER_MISTAKE = 2  # a component's exit code for a mistake in configuration or data
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
    errors: IO[str] | None = None,
) -> int:
    """Run `argv`, hand each line that it prints to `log`, and return its exit code.

    Whatever happens, nothing of the command's process group is alive afterwards.

    Args:
        errors: takes what it prints as errors; if None, `log` does, line by line.

    Raises:
        Stopped: `stopping` was set first.
        TimeLimit: `timeout` seconds passed first.
    """
    if stopping.is_set():
        raise Stopped
    process = subprocess.Popen(
        ["/bin/sh", "-c", LEASH, "sh", *argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors or subprocess.STDOUT,
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


def run_component(module: str, words: Sequence[str], stopping: Event) -> str:
    """Run a component, `python -m module`, as `run_command` does; what it prints but for errors.

    Raises:
        InputError: it ended with code 2; with its message.
        RuntimeError: it failed in another way.
        Stopped: `stopping` was set first.
    """
    argv, lines = [sys.executable, "-m", module, *words], []
    with TemporaryFile("w+", errors="replace") as errors:
        code = run_command(argv, os.getcwd(), os.environ, lines.append, stopping, errors=errors)
        errors.seek(0)
        said = errors.read().strip()
    if code == USER_MISTAKE:
        raise InputError(f"{module}: {said.rpartition('error: ')[2]}")
    if code:
        raise RuntimeError("\n".join([f"{module} ended with code {code}:", *lines, said]))
    return "\n".join(lines)


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
