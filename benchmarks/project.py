"""Projects in which benchmarks run commands: clones of this one, and made-up ones."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import yaml
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from benchmarks.stages import ROOT, python_environment, read_stages
from flows.params_file import edit
from flows.services.servers import TELEMETRY_OFF

SMALL = {  # dotted key of params.yaml → value: a pipeline that takes a minute
    "ingest.source.images": 40,
    "preprocess.text.vocab_size": 300,
    "features.image.epochs": 1,
    "features.text.epochs": 1,
    "features.audio.epochs": 1,
    "align.epochs": 1,
    "train.epochs": 1,
}
OF_SERVERS = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
INIT = ("init", "--quiet", "--initial-branch", "main")
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")


@dataclass(frozen=True)
class Project:
    """A Git repository and DVC project at `path`, with its own cache and MLflow store."""

    path: Path

    @classmethod
    def fresh(cls, path: Path, settings: Mapping[str, Any] | None = None) -> "Project":
        """Return a clone of the working tree in which nothing has run.

        `settings` are other values in params.yaml, by dotted key.
        """
        copy_tree(path)
        if settings:
            edit(path / "params.yaml", settings)
        for words in (INIT, ("add", "--all"), (*IDENTITY, "commit", "-m", "benchmark")):
            subprocess.run(["git", *words], cwd=path, check=True, stdout=subprocess.DEVNULL)
        return cls(path)

    @classmethod
    def of_stages(cls, path: Path, stages: Mapping[str, Any]) -> "Project":
        """Return a project at an empty folder with these rows of dvc.yaml and nothing else."""
        (path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        subprocess.run(["git", *INIT], cwd=path, check=True)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=path, check=True)
        return cls(path)

    def copy(self, path: Path) -> "Project":
        """Return another project in the same state, its cache included."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of commands: own code, own store, no servers but those in `more`."""
        own = python_environment(self.path) | {"DVC_NO_ANALYTICS": "1"} | TELEMETRY_OFF
        return {name: value for name, value in own.items() if name not in OF_SERVERS} | more

    def start(
        self, *words: str, output: IO | int = subprocess.PIPE, **more: str
    ) -> subprocess.Popen:
        """Start `python -m WORDS` as the leader of a session, with `more` in its environment."""
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=self.path,
            env=self.environment(**more),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, **more: str) -> str:
        """Run `python -m WORDS` to its end; return its output; raise RuntimeError if it fails."""
        process = self.start(*words, **more)
        try:
            output, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode:
            end = output[-3000:]
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n{end}")
        return output

    @property
    def lock(self) -> bytes:
        """Content of dvc.lock."""
        return (self.path / "dvc.lock").read_bytes()

    def status(self) -> set[str]:
        """Return the stages that changed, as `dvc status` knows them."""
        return set(json.loads(self.run("dvc", "status", "--json").splitlines()[-1]))

    def forget(self, *names: str) -> None:
        """Make stages as if they had never run: no lock entry, output or run cache."""
        stages = read_stages(self.path)
        lock = parse_yaml_for_update(self.lock.decode(), "dvc.lock")
        for name in names:
            del lock["stages"][name]
            for out in stages[name].outs:
                target = self.path / out
                shutil.rmtree(target) if target.is_dir() else target.unlink()
        (self.path / "dvc.lock").write_text(dumps_yaml(lock))
        shutil.rmtree(self.path / ".dvc/cache/runs", ignore_errors=True)


def copy_tree(path: Path, *left_out: str) -> None:
    """Copy tracked and new files of the working tree, but those whose path begins so."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        # A file that does not exist is deleted, and the deletion is not committed.
        if not name.startswith(left_out) and (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)


@contextmanager
def temporary(make: Callable[[Path], Project]) -> Iterator[Project]:
    """Give a project that is made at some path, and delete it afterwards."""
    with TemporaryDirectory() as name:
        yield make(Path(name) / "clone")
