"""A toy DVC project whose stages are small shell scripts that a test can steer."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import yaml
from dvc.repo import Repo

from tests.support.params import ROOT, change, shipped, write_params
from tests.support.preloaded import preloaded_python

DVC_YAML = """\
stages:
  join:
    cmd: sh step.sh join
    deps: [left, right.txt, step.sh]
    outs: [model.txt]
    metrics: [{metrics.json: {cache: false}}]
  left:
    cmd: sh step.sh left
    deps: [source.txt, step.sh]
    params: [left.rate]
    outs: [{left: {persist: true}}]
  right:
    cmd: sh step.sh right
    deps: [source.txt, step.sh]
    params: [right.rate]
    outs: [right.txt]
  source:
    cmd: sh step.sh source
    deps: [raw.txt, step.sh]
    outs: [source.txt]
  aside:
    cmd:
      - sh step.sh aside
      - >-
        echo "a line which is longer than what fits on a line of YAML's own width: é, 'x'" #
        >> aside.txt
      - |
        echo "of more"
        echo than one line
    deps: [raw.txt, step.sh]
    params: [odd]
    outs: [aside.txt]
  report:
    cmd: sh step.sh report
    deps: [metrics.json, aside.txt, step.sh]
    outs: [report.txt]
"""
ORDER = ("source", "left", "right", "join", "aside", "report")

# A stage first runs $TOY_HOOKS/<stage>, so that a test can make it wait, fail or linger.
STEP = """\
set -e
stage=$1
wait_for() { until [ -e "$TOY_HOOKS/$1" ]; do sleep 0.1; done; }
if [ -n "$TOY_HOOKS" ]; then
  echo "$stage" >> "$TOY_HOOKS/ran"
  touch "$TOY_HOOKS/$stage.started"
  if [ -e "$TOY_HOOKS/$stage" ]; then . "$TOY_HOOKS/$stage"; fi
fi
rate() { grep -A1 "^$1:" params.yaml | tail -n 1; }
case $stage in
  source) sort raw.txt > source.txt ;;
  left) mkdir -p left; cp source.txt left/a; rate left > left/b ;;
  right) { cat source.txt; rate right; } > right.txt ;;
  join) cat left/a left/b right.txt > model.txt; echo "{\\"lines\\": $(wc -l < model.txt)}" \\
        > metrics.json ;;
  aside) echo aside > aside.txt ;;
  report) cat metrics.json aside.txt > report.txt ;;
esac
if [ -n "$TOY_HOOKS" ]; then touch "$TOY_HOOKS/$stage.done"; fi
"""

PARAMS = """\
left:
  rate: 0.1
right:
  rate: 1e-5
odd: {list: [1, 2.50, "yes", {a: 1e6}], text: "a: b # c", none: null, "no": "012", word: "é\\n"}
"""
LINGER = "sleep 1000 & wait_for never"  # a stage that never ends, with a child process
NO_CRONS = {"retrain": None, "evaluate": None}
WAIT_SECONDS = 180
LONGEST_PAUSE = 0.3  # seconds between two looks

Found = TypeVar("Found")


class Toy:
    """A copy of the toy project.

    Attributes:
        path: of the project.
        hooks: folder of scripts that stages run first, and of marks that they leave.
    """

    def __init__(self, path: Path, hooks: Path):
        self.path = path
        self.hooks = hooks
        hooks.mkdir()

    @staticmethod
    def write(path: Path) -> None:
        """Write the project, in which nothing has run, into an empty folder."""
        (path / "dvc.yaml").write_text(DVC_YAML)
        (path / "step.sh").write_text(STEP)
        (path / "params.yaml").write_text(PARAMS)
        (path / "raw.txt").write_text("b\na\n")
        subprocess.run(["git", "init", "-q"], cwd=path, check=True)
        subprocess.run([preloaded_python(), "-m", "dvc", "init", "-q"], cwd=path, check=True)

    def dvc(self, *words: str) -> str:
        """Run a DVC command, and return what it prints."""
        command = [preloaded_python(), "-m", "dvc", *words]
        env = {**os.environ, "TOY_HOOKS": "", "DVC_NO_ANALYTICS": "1"}
        return subprocess.run(
            command, cwd=self.path, env=env, check=True, capture_output=True, text=True
        ).stdout

    def reproduce(self, *targets: str) -> None:
        """Run plain `dvc repro`, without hooks."""
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.path), Repo() as repo:
            patch.setenv("TOY_HOOKS", "")
            repo.reproduce(targets or None)

    def add(self, name: str) -> None:
        """Do what `dvc add` does."""
        with contextlib.chdir(self.path), Repo() as repo:
            repo.add([name])

    def hook(self, stage: str, script: str) -> None:
        """Let a stage run a script first."""
        (self.hooks / stage).write_text(script)

    def set(self, old: str, new: str) -> None:
        """Replace text in params.yaml."""
        params = self.path / "params.yaml"
        params.write_text(params.read_text().replace(old, new))

    def ran(self) -> list[str]:
        """Return the stages whose commands ran since the last call, in the order of their start."""
        ran = self.hooks / "ran"
        lines = ran.read_text().split() if ran.exists() else []
        ran.unlink(missing_ok=True)
        return lines

    def tracked(self) -> dict[str, bytes]:
        """Return what Git would see: dvc.lock, .gitignore and the uncached metrics."""
        return {
            name: (self.path / name).read_bytes()
            for name in ("dvc.lock", ".gitignore", "metrics.json")
        }

    def entries(self) -> list[str]:
        """Return the stages in dvc.lock, in its order."""
        return list(yaml.safe_load((self.path / "dvc.lock").read_text())["stages"])

    def assert_nothing_to_do(self) -> None:
        """Assert that plain `dvc repro` would run nothing and change nothing."""
        before = self.tracked()
        with contextlib.chdir(self.path), Repo() as repo:
            assert repo.status() == {}
            assert repo.reproduce() == []
        assert self.tracked() == before

    def use_shipped_settings(self, **operate: object) -> None:
        """Write the shipped params.yaml with other values in `operate`, by default without crons.

        The project's own parameters move to toy.yaml.
        """
        os.rename(self.path / "params.yaml", self.path / "toy.yaml")
        for name, old, new in (
            ("step.sh", "params.yaml", "toy.yaml"),
            ("dvc.yaml", "params: [", "params: [toy.yaml: ["),
        ):
            lines = (self.path / name).read_text().splitlines(keepends=True)
            changed = (line.replace(old, new) for line in lines)
            closed = (
                line.replace("]\n", "]]\n") if "toy.yaml: [" in line else line for line in changed
            )
            (self.path / name).write_text("".join(closed))
        operate = NO_CRONS | operate
        params = change(shipped(), {f"operate.{key}": value for key, value in operate.items()})
        write_params(self.path / "params.yaml", params)

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        """Start `python …` in the project, with its hooks; its output can be read."""
        more = {"PYTHONPATH": str(ROOT), "TOY_HOOKS": str(self.hooks)}
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.path,
            env={**os.environ, **more, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self, *words: str) -> list[int]:
        """Return the processes in the project's folder whose command lines have any of the words.

        Without words: all that stages started, recognised by the hooks in their environment.
        """
        if words:
            return [
                process.pid
                for process in psutil.process_iter(["cwd", "cmdline"])
                if process.info["cwd"] == str(self.path)
                and any(word in part for part in process.info["cmdline"] or () for word in words)
            ]
        return with_variable(f"TOY_HOOKS={self.hooks}")

    def assert_none_alive(self) -> None:
        """Assert that soon nothing that the stages started is alive."""
        eventually(lambda: not self.processes(), seconds=10)


def with_variable(text: str) -> list[int]:
    """Return the processes, other than this one, that have `NAME=VALUE` in their environment."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and text in _environment(pid).split("\0")]


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Wait for a process; return its exit code and output."""
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def wait_for(path: Path) -> None:
    """Wait for a file."""
    eventually(path.exists)


def eventually(look: Callable[[], Found], seconds: float = WAIT_SECONDS) -> Found:
    """Return what `look` returns once that is true; look less and less often, as it is work."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not (found := look()):
        assert time.monotonic() < deadline, look
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
    return found
