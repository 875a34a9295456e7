"""A command that stands for `python` and needs no seconds to import libraries: its server has them.

For each `python -m …` or `python -c …` the server, which is this module run as a script, forks a
process that has the streams, folder, environment and arguments of the command, and gives it its
exit code. No module of the project is loaded before, so each process has those of its own folder.
A process is killed when its command is; tests of signals need `python` itself.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

MODULES = (  # what processes of the project import; not Prefect itself, which reads settings then
    "coolname",
    "dvc.cli.parser",
    "dvc.data_cloud",
    "dvc.repo.open_repo",
    "dvc.repo.reproduce",
    "dvc.stage.cache",
    "git",
    "griffe",
    "h2.connection",
    "httpx",
    "jinja2",
    "jsonschema",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "networkx",
    "pandera.pandas",
    "pendulum",
    "prometheus_client",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic_settings",
    "ruamel.yaml",
    "scipy.stats",
    "sklearn.svm",
    "soundfile",
    "tokenizers",
    "torch._dynamo",
    "torchaudio",
    "torchvision.transforms.v2",
    "websockets.asyncio.client",
)
SMALL = (
    "components.ingest.sources.espeak"  # forks for every sound, which takes a large process long
)
KILLED = 128 + signal.SIGKILL  # exit code of a command whose process was killed
COMMAND = """\
#!{python} -IS
import os, socket, sys
if sys.argv[1:2] not in (["-m"], ["-c"]) or sys.argv[2] == {small!r}:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
import json
request = json.dumps([os.getcwd(), sys.argv[1:], dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    code = server.recv(1)
os._exit(code[0] if code else 70)
"""


@cache
def preloaded_python() -> str:
    """Return a command that stands for `python`; its server ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="python-"))
    atexit.register(shutil.rmtree, folder)
    address, command = folder / "socket", folder / "python"
    command.write_text(COMMAND.format(python=sys.executable, small=SMALL, address=str(address)))
    command.chmod(0o755)
    # The server reads to the end of its input: it ends when this process does, however it ends.
    server = subprocess.Popen(
        [sys.executable, __file__, address, command],
        env=os.environ | {"JE_ARROW_MALLOC_CONF": "background_thread:false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout and server.stdout.readline() == b"ready\n"
    return str(command)


@pytest.fixture
def preloaded(monkeypatch) -> None:
    """Commands that begin with `sys.executable` are those of the server, in this process too."""
    monkeypatch.setattr(sys, "executable", preloaded_python())


def serve(address: str) -> tuple[str, str]:
    """Fork for each request until standard input ends; return in each fork what it is to run.

    That is `-m` and a module, or `-c` and code.
    """
    sys.path.pop(0)  # the folder of this script
    for name in MODULES:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1  # a fork would lose other threads
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening, _Forks() as forks:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        while sys.stdin not in (ready := forks.wait_for(sys.stdin, listening)):
            if listening in ready:
                connection, _ = listening.accept()
                if not forks.add(connection):
                    return _receive(connection)
        forks.kill()
        sys.exit()


class _Forks:
    """The processes that run, each with the connection of whoever asked for it."""

    def __init__(self):
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by descriptor of the process

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for process, (_, connection) in self._running.items():
            connection.close()
            os.close(process)

    def add(self, connection: socket.socket) -> int:
        """Fork; return the id of the process, in the process itself 0."""
        if pid := os.fork():
            self._running[os.pidfd_open(pid)] = pid, connection
        return pid

    def wait_for(self, *sources) -> list:
        """Return which sources can be read; kill processes that nobody waits for until then."""
        poll = select.poll()
        for source in sources:
            poll.register(source, select.POLLIN)
        for process, (_, connection) in self._running.items():
            poll.register(process, select.POLLIN)
            poll.register(connection, select.POLLRDHUP)
        numbers = {number for number, _ in poll.poll()}
        for process, (pid, connection) in list(self._running.items()):
            if process in numbers:
                self._end(process)
            elif connection.fileno() in numbers:
                os.kill(pid, signal.SIGKILL)
        return [source for source in sources if source.fileno() in numbers]

    def kill(self) -> None:
        """End all."""
        for pid, _ in self._running.values():
            os.kill(pid, signal.SIGKILL)

    def _end(self, process: int) -> None:
        """Tell whoever asked for a process how it ended."""
        pid, connection = self._running.pop(process)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(bytes([code if code >= 0 else 128 - code]))
        os.close(process)


def _receive(connection: socket.socket) -> tuple[str, str]:
    """Take over standard streams, folder, environment and arguments of whoever asked."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        folder, words, environment = json.loads(file.read(int.from_bytes(size, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    option, what, *rest = words
    sys.argv = [what if option == "-m" else option, *rest]
    return option, what


def _run(option: str, what: str) -> int:
    """Run a module or code as `python` does; return the exit code."""
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _exit(code: int) -> NoReturn:
    """End without freeing what was imported, which would copy all of it first."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _, address, sys.executable = sys.argv  # a process starts others in the same way
    _exit(_run(*serve(address)))
