"""A clone of the working tree as a user has it, with the configuration made small."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from filelock import FileLock

from tests.shrunk import ROOT, assert_refused, small_params, write_params
from tests.stages import STAGES, covered

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
    """A Git repository and DVC project at `path`."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def fresh(cls, path: Path, changes: dict | None = None) -> "Clone":
        """Tracked and new files of this tree, without results, committed with small settings."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if name.startswith(("tests/", "reports/")) or name == "dvc.lock":
                continue
            if (ROOT / name).is_file():  # else deleted, and the deletion not committed
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, path / name)
        write_params(path / "params.yaml", small_params(changes))
        clone = cls(path)
        clone.git("init", "-q")
        clone.git("add", "-A")
        clone.git(*IDENTITY, "commit", "-qm", "small")
        return clone

    def copy(self, path: Path) -> "Clone":
        """Another clone in the same state, caches included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Clone(path)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of commands in here; `python` is this interpreter."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return kept | QUIET | {"PATH": path} | more

    def start(self, *words: str, **more: str) -> subprocess.Popen:
        """Start `python -m …` as the leader of a process group of its own."""
        return self.start_python("-m", *words, **more)

    def start_python(self, *words: str, **more: str) -> subprocess.Popen:
        """Start `python …` likewise."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.path,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def try_(self, *words: str, **more: str) -> subprocess.CompletedProcess:
        """Run `python -m …` to its end."""
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.path,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=600,
        )

    def run(self, *words: str, **more: str) -> str:
        """Run `python -m …`, which must succeed; what it prints."""
        done = self.try_(*words, **more)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def refused(self, message: str, *words: str, **more: str) -> None:
        """Run `python -m …`, which must end with code 2, a message and no traceback."""
        assert_refused(self.try_(*words, **more), message)

    def git(self, *words: str) -> str:
        """What a git command prints."""
        command = ["git", *words]
        done = subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout

    def changed(self) -> set[str]:
        """The stages that `dvc repro` would run now if all that runs gave other bytes."""
        lines = self.run("dvc", "repro", "--dry").splitlines()
        found = {line.split("'")[1] for line in lines if line.startswith("Running stage")}
        for name, row in STAGES.items():  # each after what it needs
            upstream = tuple(out for other in found for out in STAGES[other].outs)
            if any(covered(d, upstream) or covered(o, (d,)) for d in row.deps for o in upstream):
                found.add(name)
        return found

    def set(self, **changes) -> None:
        """Other values at dotted keys of params.yaml, on top of the small ones."""
        write_params(self.path / "params.yaml", small_params(changes))

    def forget(self, *stages: str) -> None:
        """As if these stages had never run: no lock entry, no output, nothing in the run cache."""
        path = self.path / "dvc.lock"
        lock = parse_yaml_for_update(path.read_text(), path)
        for name in stages:
            del lock["stages"][name]
            for out in STAGES[name].outs:
                target = self.path / out
                shutil.rmtree(target) if target.is_dir() else target.unlink()
        path.write_text(dumps_yaml(lock))
        shutil.rmtree(self.path / ".dvc/cache/runs", ignore_errors=True)

    def mlflow(self, expression: str):
        """What a Python expression gives that sees `client` of the clone's own MLflow, as JSON.

        It sees the `version` that is the challenger too, and the `run` that made it.
        """
        code = (
            "import json, mlflow\n"
            "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
            "client = mlflow.MlflowClient()\n"
            "version = client.get_model_version_by_alias('synesthesia', 'challenger')\n"
            "run = client.get_run(version.run_id)\n"
            f"print(json.dumps({expression}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.path,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


@pytest.fixture(scope="session")
def pair(shared_folder, prefect_api) -> tuple[Clone, Clone]:
    """A clone after plain `dvc repro`, and one after the Prefect flow; made at the same time.

    All workers read them.
    """
    home = shared_folder / "pair"
    plain, flown = (Clone(home / name) for name in ("plain", "flown"))
    made = home / "made"
    with FileLock(shared_folder / "pair.lock"):
        if not made.exists():
            shutil.rmtree(home, ignore_errors=True)  # of a worker that failed
            _make(plain.path, flown.path, prefect_api)
            made.touch()
    return plain, flown


def _make(plain: Path, flown: Path, prefect_api: str) -> None:
    flow = Clone.fresh(flown).start("flows.pipeline", PREFECT_API_URL=prefect_api)
    try:
        Clone.fresh(plain).run("dvc", "repro", "-q")
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
    """A copy of the clone that is done, for a test that changes it."""
    return done.copy(tmp_path / "clone")


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for what a process that goes on does."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_group(pid: int, group: int) -> bool:
    """Whether a process is in a process group now."""
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def kill_group(process: subprocess.Popen) -> None:
    """SIGKILL a process and all that it started, as a power cut would, and see them gone."""
    group = [other for other in psutil.process_iter() if in_group(other.pid, process.pid)]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs([other for other in group if other.pid != process.pid], timeout=10)
    process.stdout.close()
