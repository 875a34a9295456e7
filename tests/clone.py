"""A clone of the working tree as a user has it, with the configuration made small."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from tests.shrunk import ROOT, assert_refused, small_params, write_params
from tests.stages import STAGES

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
}
UNSET = ("MLFLOW_TRACKING_URI", "PYTHONPATH")  # a clone uses its own store and its own modules
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

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


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
