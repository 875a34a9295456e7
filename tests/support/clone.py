"""A clone of the working tree as a user has it, with small settings."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from benchmarks.project import Project, copy_tree
from tests.support.params import small_params, write_params
from tests.support.preloaded import preloaded_python
from tests.support.process import assert_refused
from tests.support.stages import STAGES, covered

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
}
UNSET = ("MLFLOW_TRACKING_URI", "PYTHONPATH")  # a clone uses its own store and its own modules
REGISTER = ("dvc", "repro", "-q", "--force", "--single-item", "register")  # make register
TRACKED = ("dvc.lock", "reports/data.json", "reports/retrieval.json", "reports/metrics.json")
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")


class Clone:
    """A Git repository and DVC project.

    Attributes:
        path: of its folder.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def fresh(cls, path: Path, changes: dict[str, Any] | None = None) -> "Clone":
        """Copy tracked and new files of this tree, without results; commit with small settings."""
        copy_tree(path, "tests/", "reports/", "dvc.lock")
        write_params(path / "params.yaml", small_params(changes))
        clone = cls(path)
        clone.git("init", "-q")
        clone.git("add", "-A")
        clone.git(*IDENTITY, "commit", "-qm", "small")
        return clone

    def copy(self, path: Path) -> "Clone":
        """Return a copy in the same state, caches included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Clone(path)

    def environment(self, python: str = sys.executable, **more: str) -> dict[str, str]:
        """Return the environment of commands in here, in which `python` is this one."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        folders = (Path(python).parent, Path(sys.executable).parent, os.environ["PATH"])
        return kept | QUIET | {"PATH": os.pathsep.join(map(str, folders))} | more

    def start(self, *words: str, **more: str) -> subprocess.Popen:
        """Start `python -m …` as the leader of its own process group."""
        return self.start_python("-m", *words, **more)

    def start_python(
        self, *words: str, python: str = sys.executable, **more: str
    ) -> subprocess.Popen:
        """Start `python …` likewise."""
        return subprocess.Popen(
            [python, *words],
            cwd=self.path,
            env=self.environment(python, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def try_python(self, *words: str, **more: str) -> subprocess.CompletedProcess:
        """Run `python …` to its end; neither it nor stages that it runs import for seconds."""
        python = preloaded_python()
        return subprocess.run(
            [python, *words],
            cwd=self.path,
            env=self.environment(python, **more),
            capture_output=True,
            text=True,
            timeout=600,
        )

    def try_(self, *words: str, **more: str) -> subprocess.CompletedProcess:
        """Run `python -m …` to its end."""
        return self.try_python("-m", *words, **more)

    def run(self, *words: str, **more: str) -> str:
        """Run `python -m …`, which must succeed; return what it prints."""
        done = self.try_(*words, **more)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def refused(self, message: str, *words: str, **more: str) -> None:
        """Run `python -m …`, which must end with code 2, a message and no traceback."""
        assert_refused(self.try_(*words, **more), message)

    def git(self, *words: str) -> str:
        """Return what a git command prints."""
        command = ["git", *words]
        done = subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout

    def changed(self) -> set[str]:
        """Return the stages that `dvc repro` would run if all that run gave other bytes.

        But for the first two, which list the code and write what params.yaml means.
        """
        self.run("dvc", "repro", "-q", "settings")
        lines = self.run("dvc", "repro", "--dry").splitlines()
        found = {line.split("'")[1] for line in lines if line.startswith("Running stage")}
        for name, row in STAGES.items():  # each after its upstream stages
            upstream = tuple(out for other in found for out in STAGES[other].outs)
            if any(covered(d, upstream) or covered(o, (d,)) for d in row.deps for o in upstream):
                found.add(name)
        return found

    def set(self, **changes: Any) -> None:
        """Write params.yaml: the small settings with other values at dotted keys."""
        write_params(self.path / "params.yaml", small_params(changes))

    def forget(self, *stages: str) -> None:
        """Remove what these stages left: lock entries, outputs, and everything in the run cache."""
        Project(self.path).forget(*stages)

    def mlflow(self, expression: str) -> Any:
        """Return the value of a Python expression, which must be JSON.

        It can use `client`, of the clone's own MLflow, the `version` that is the challenger, and
        the `run` that made it.
        """
        code = (
            "import json, mlflow\n"
            "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
            "client = mlflow.MlflowClient()\n"
            "version = client.get_model_version_by_alias('synesthesia', 'challenger')\n"
            "run = client.get_run(version.run_id)\n"
            f"print(json.dumps({expression}))\n"
        )
        done = self.try_python("-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.path / name).read_bytes()

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file."""
        return json.loads(self.read(name))


@pytest.fixture(scope="session")
def pair(shared_folder, request) -> tuple[Clone, Clone]:
    """A clone after plain `dvc repro`, and one after the Prefect flow, made at the same time.

    One worker makes them, with a Prefect server that no other needs; all read them.
    """
    home = shared_folder / "pair"
    plain, flown = (Clone(home / name) for name in ("plain", "flown"))
    made = home / "made"
    with FileLock(shared_folder / "pair.lock"):
        if not made.exists():
            shutil.rmtree(home, ignore_errors=True)  # of a worker that failed
            servers = map(request.getfixturevalue, ("prefect_api", "empty_store"))
            _make(plain.path, flown.path, *servers)
            made.touch()
    return plain, flown


def _make(plain: Path, flown: Path, prefect_api: str, store: Path) -> None:
    made = Clone.fresh(plain)
    shutil.copy(store, plain / "mlflow.db")
    server = {"PREFECT_API_URL": prefect_api}
    flow = made.copy(flown).start("flows.pipeline", python=preloaded_python(), **server)
    try:
        made.run("dvc", "repro", "-q")
        output, _ = flow.communicate(timeout=600)
        assert flow.returncode == 0, output[-5000:]
    finally:
        if flow.poll() is None:
            kill_group(flow)


@pytest.fixture(scope="session")
def done(pair, tmp_path_factory) -> Clone:
    """A clone after plain `dvc repro`; a test that changes it takes `again`."""
    return pair[0].copy(tmp_path_factory.mktemp("done") / "clone")


@pytest.fixture
def again(done, tmp_path) -> Clone:
    """A copy of `done`, for a test that changes it."""
    return done.copy(tmp_path / "clone")


@pytest.fixture
def own_store(again, empty_store) -> Clone:
    """A copy of `done` with an MLflow store of its own: that of `done` has its files there."""
    shutil.copy(empty_store, again.path / "mlflow.db")
    shutil.rmtree(again.path / "mlartifacts")
    again.run("dvc", "repro", "--quiet", "--force", "--single-item", "register")
    return again


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for an effect of a process that continues."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_group(process: subprocess.Popen) -> None:
    """Send SIGKILL to a process and all that it started, and wait until they are gone."""
    group = [other for other in psutil.process_iter() if _group_of(other.pid) == process.pid]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs([other for other in group if other.pid != process.pid], timeout=10)
    process.stdout.close()


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def committed(own_store) -> Clone:
    """A clone after `dvc repro` whose results are committed."""
    own_store.git("add", "-A")
    own_store.git(*IDENTITY, "commit", "-qm", "done")
    return own_store
