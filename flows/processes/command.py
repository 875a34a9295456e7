"""Commands in process groups that never outlive this process.

A command runs in its own session, so that signals reach everything it starts. A small shell in the
same group, the leash, holds the reading end of a pipe whose writing end only this process has: when
this process dies, even by SIGKILL, the kernel closes the pipe and the leash kills the group. No
orphan can then write into outputs of a later run.
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

USER_MISTAKE = 2  # exit code of components for a mistake in configuration or data
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
POLL_SECONDS = 0.05

LEASH = """
exec 3<&0 </dev/null
(trap "" TERM; read -r _; kill -KILL 0) <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


class Stopped(Exception):
    """The command was killed because the run is stopping."""


class TimeLimit(Exception):
    """The command was killed at its time limit."""


def run_command(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    log: Callable[[str], None],
    stopping: Event,
    timeout: float | None = None,
    errors: IO[str] | None = None,
) -> int:
    """Run a command, pass each line that it prints to `log`, and return its exit code.

    Whatever happens, no process of the command's group is alive afterwards. Raises `Stopped` if
    `stopping` was set first, `TimeLimit` if `timeout` seconds passed first. Standard error goes to
    the file `errors`, by default to the log.
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
    assert process.stdin and process.stdout
    # The logger reads the task that it logs for from the context.
    run_in_context = contextvars.copy_context().run
    pump = Thread(target=run_in_context, args=(_pump, process.stdout, log), daemon=True)
    pump.start()
    try:
        return _wait(process, stopping, timeout)
    finally:
        _end_group(process, pump)
        process.stdin.close()
        if not pump.is_alive():  # otherwise a daemon that left the group holds the other end
            process.stdout.close()


def run_component(module: str, words: Sequence[str], stopping: Event) -> str:
    """Run a component as `python -m module`; return what it prints to standard output.

    Raises InputError with its message if it ended with code 2, RuntimeError if it failed in another
    way, and `Stopped` if `stopping` was set first.
    """
    argv, lines = [sys.executable, "-m", module, *words], []
    with TemporaryFile("w+", errors="replace") as errors:
        code = run_command(argv, os.getcwd(), os.environ, lines.append, stopping, errors=errors)
        errors.seek(0)
        printed = errors.read().strip()
    if code == USER_MISTAKE:
        raise InputError(f"{module}: {printed.rpartition('error: ')[2]}")
    if code:
        raise RuntimeError("\n".join([f"{module} ended with code {code}:", *lines, printed]))
    return "\n".join(lines)


def _pump(output: IO[str], log: Callable[[str], None]) -> None:
    for line in output:
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
    """End what is left of the group; once its output ends, only the leash is left.

    The leash ignores SIGTERM, so the group's id cannot be reused meanwhile.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    pump.join(GRACE_SECONDS)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pump.join(GRACE_SECONDS)
