"""The stages of dvc.yaml, and ways to run them without DVC."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import yaml

from components.code.stage_code import code_of
from components.modalities.registry import MODALITIES
from components.stage.arguments import Arguments, parse_arguments
from components.stage.stage import Stage

ROOT = Path(__file__).parents[1]
SETTINGS = "data/settings.yaml"  # that stages read
LISTING = re.compile(r"--code \S+ ")


@dataclass(frozen=True)
class PipelineStage:
    """One stage of dvc.yaml; paths are of files and folders, `params` are dotted keys."""

    name: str
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]  # metrics and plots too
    params: tuple[str, ...] = ()

    @property
    def call(self) -> tuple[str, ...]:
        """The words after `python -m`."""
        return tuple(shlex.split(self.command)[2:])

    @property
    def module(self) -> str:
        """The module that the command runs."""
        return self.call[0]

    @property
    def words(self) -> tuple[str, ...]:
        """The options of the command."""
        return self.call[1:]

    @property
    def by_hand(self) -> list[str]:
        """The options without the listing of code, where the stage `code` has not run."""
        return shlex.split(LISTING.sub("", self.command))[3:]

    @property
    def is_learning(self) -> bool:
        """Whether the stage trains something: then it has a checkpoint."""
        return "--checkpoint" in self.words

    @property
    def data(self) -> set[str]:
        """The deps that are not code."""
        return {dep for dep in self.deps if not dep.startswith(("components", "data/code/"))}

    @property
    def code(self) -> list[str]:
        """The files of the project that the command can run or read."""
        return [str(path) for path in code_of(self.name)]

    def reads(self, path: str) -> bool:
        """Return whether a path is a dep, or lies below one, or holds one."""
        return any(
            f"{path}/".startswith(f"{dep}/") or f"{dep}/".startswith(f"{path}/")
            for dep in self.deps
        )

    @property
    def stage(self) -> Stage:
        """The stage itself, imported into this process."""
        return import_module(f"{self.module}.__main__").STAGE

    @property
    def arguments(self) -> Arguments:
        """The command line, parsed."""
        return parse_arguments(self.stage.arguments, None, list(self.words))

    def run(self, folder: Path) -> None:
        """Run the stage in this process, in a folder; what it logs is dropped."""
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            self.stage.main(self.by_hand)


def read_stages(project: Path = ROOT) -> dict[str, PipelineStage]:
    """Return the stages of a project's dvc.yaml by name, in the order of the file."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    text = (project / "dvc.yaml").read_text().replace("${ingest.root}", params["ingest"]["root"])
    stages = {}
    for name, row in yaml.safe_load(text)["stages"].items():
        outs = [*row.get("outs", []), *row.get("metrics", []), *row.get("plots", [])]
        paths = tuple(out if isinstance(out, str) else next(iter(out)) for out in outs)
        keys = tuple(key for keys in row.get("params", []) for key in next(iter(keys.values())))
        stages[name] = PipelineStage(name, row["cmd"], tuple(row["deps"]), paths, keys)
    return stages


def downstream(stages: Mapping[str, PipelineStage], names: Iterable[str]) -> list[str]:
    """Return the stages that need an output of the named ones, directly or not, without them."""
    found = set(names)
    while more := {
        name
        for name, stage in stages.items()
        if name not in found and any(stage.reads(out) for n in found for out in stages[n].outs)
    }:
        found |= more
    return [name for name in stages if name in found.difference(names)]


def python_environment(project: Path) -> dict[str, str]:
    """Return the variables of commands that run a project's code with this Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(project.resolve())}


def run_commands(stages: Iterable[PipelineStage], folder: Path) -> dict[str, float]:
    """Run the commands of stages in a folder, one after the other; return seconds of each."""
    seconds = {}
    for stage in stages:
        began = time.perf_counter()
        done = subprocess.run(
            ["python", "-m", stage.module, *stage.by_hand],
            cwd=folder,
            env=python_environment(ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds[stage.name] = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{stage.name} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return seconds


def make_pretrained(folder: Path) -> None:
    """Make the folders in which settings may name pretrained models."""
    for kind in (*MODALITIES, "model"):
        (folder / "pretrained" / kind).mkdir(parents=True, exist_ok=True)


def link_files(source: Path, target: Path, *names: str) -> None:
    """Make files of one folder, and its settings, appear in another without copying them.

    Stages replace files, so the originals do not change.
    """
    for name in names:
        shutil.copytree(source / name, target / name, copy_function=os.link)
    if not (target / SETTINGS).exists():
        shutil.copy(source / SETTINGS, target / SETTINGS)
