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
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

MODULES = (  # what processes of the project import, without Prefect, which reads settings then
    "dvc.commands.commit",
    "dvc.commands.repro",
    "dvc.commands.status",
    "jinja2",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "pandera.pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.stats",
    "tokenizers",
    "torch._dynamo",
    "torchvision.transforms.v2",
)
SMALL = (
    "components.ingest.sources.espeak"  # forks for every sound, which takes a large process long
)
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
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for forks that supervise
        while True:
            ready, _, _ = select.select([sys.stdin, listening], [], [])
            if sys.stdin in ready:
                sys.exit()
            connection, _ = listening.accept()
            with connection:
                if not os.fork():
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    if pid := os.fork():
                        _supervise(pid, connection)
                    return _receive(connection)


def _supervise(pid: int, connection: socket.socket) -> NoReturn:
    """Kill a process when whoever asked for it is gone; tell them how it ended."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.register(process := os.pidfd_open(pid), select.POLLIN)
    if all(number != process for number, _ in poll.poll()):
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


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
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    option, what, *rest = words
    sys.argv = [what if option == "-m" else option, *rest]
    return option, what


if __name__ == "__main__":
    _, address, sys.executable = sys.argv  # a process starts others in the same way
    option, what = serve(address)
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(what, {"__name__": "__main__"})
