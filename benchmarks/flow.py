"""The flow against `dvc repro`, and its own time over the critical path."""

import contextlib
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks import clones
from flows.plan import PlannedStage
from flows.services.processes import Process
from flows.services.servers import HOST, TELEMETRY_OFF, answers, prefect_command
from flows.stages import Stages

TURNS = 3
SECONDS, SECONDS_A_STAGE = 2.0, 0.3  # of its own that the flow may take
SLEEP_SECONDS = 1  # of each stage that does nothing else
OF_SERVERS = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
ROW = re.compile(r"^  (\S+) +(?:ran|restored|up to date) +([\d.]+) s", re.MULTILINE)


@dataclass(frozen=True)
class Flown:
    """One run of the flow.

    Attributes:
        seconds: wall time of the whole process.
        stages: of each stage.
        lock: the content of dvc.lock afterwards.
    """

    seconds: float
    stages: dict[str, float]
    lock: bytes


@dataclass(frozen=True)
class Demo:
    """The demo with `dvc repro`, and with the flow on all cores, whose critical path it was."""

    plain: clones.Run
    flown: Flown
    path: float


@dataclass(frozen=True)
class Own:
    """Seconds of its own that the flow takes, median of several turns.

    Attributes:
        stages: in the graph.
        served: with a Prefect server that runs.
        ephemeral: where it starts one itself.
    """

    stages: int
    served: float
    ephemeral: float

    @property
    def allowed(self) -> float:
        """What it may take with a server that runs."""
        return SECONDS + SECONDS_A_STAGE * self.stages


def plan(project: Path) -> list[PlannedStage]:
    """The stages of a project, each with those that it waits for."""
    with contextlib.chdir(project):
        return Stages().plan()


def critical_path(stages: Sequence[PlannedStage], seconds: Mapping[str, float]) -> float:
    """How long the longest chain of stages takes, each of which waits for the one before."""
    ends: dict[str, float] = {}
    for stage in stages:
        begins = max((ends[name] for name in stage.upstream), default=0.0)
        ends[stage.name] = begins + seconds[stage.name]
    return max(ends.values())


@contextmanager
def prefect_server() -> Iterator[str]:
    """The address of a Prefect server, as a team has one; its database is its own."""
    with TemporaryDirectory() as name, socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        log = Path(name) / "log"
        environment = os.environ | TELEMETRY_OFF | {"PREFECT_HOME": name}
        environment["PREFECT_SERVER_UI_ENABLED"] = "false"
        process = Process.start(prefect_command(port), environment, log, Path(name))
        try:
            api = f"http://{HOST}:{port}/api"
            process.wait(partial(answers, f"{api}/health"), "Prefect", log)
            yield api
        finally:
            process.end()


def fly(path: Path, workers: int, code: Path, **more: str) -> Flown:
    """Run the flow in a project.

    Args:
        path: of the project.
        workers: stages side by side.
        code: the folder of the modules to run.
        more: variables of its environment.
    """
    environment = {k: v for k, v in os.environ.items() if k not in OF_SERVERS}
    command = [sys.executable, "-m", "flows.pipeline", "--workers", str(workers)]
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=path,
        env=environment | {"PYTHONPATH": str(code.resolve())} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"the flow ended with {done.returncode}:\n{done.stdout[-3000:]}")
    stages = {name: float(value) for name, value in ROW.findall(done.stdout)}
    return Flown(seconds, stages, (path / "dvc.lock").read_bytes())


def demo(api: str) -> Demo:
    """The demo from nothing, with each."""
    with clones.clone() as path:
        plain = clones.run(path)
    with clones.clone() as path:
        stages = plan(path)
        flown = fly(path, os.cpu_count(), path, PREFECT_API_URL=api)
    return Demo(plain, flown, critical_path(stages, flown.stages))


@contextmanager
def sleeping(shape: Sequence[PlannedStage]) -> Iterator[Path]:
    """A project with a graph of this shape, whose stages sleep and never wait for a core."""
    stages = {
        stage.name: {
            "cmd": f"sleep {SLEEP_SECONDS} && echo {stage.name} > {stage.name}.txt",
            "deps": [f"{name}.txt" for name in stage.upstream],
            "outs": [f"{stage.name}.txt"],
        }
        for stage in shape
    }
    with TemporaryDirectory() as name:
        path = Path(name)
        (path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        subprocess.run(["git", "init", "--quiet"], cwd=path, check=True)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=path, check=True)
        yield path


def overhead(shape: Sequence[PlannedStage], **more: str) -> float:
    """Seconds that the flow takes longer than its stages sleep on the critical path."""
    with sleeping(shape) as path:
        seconds = fly(path, len(shape), Path(), **more).seconds
    return seconds - critical_path(shape, {stage.name: SLEEP_SECONDS for stage in shape})


def own(api: str, shape: Sequence[PlannedStage]) -> Own:
    """What the flow takes of its own, in turns with and without a server that runs."""
    with TemporaryDirectory() as home:
        overhead(shape, PREFECT_HOME=home)  # the first ephemeral server makes its database
        turns = [
            (overhead(shape, PREFECT_API_URL=api), overhead(shape, PREFECT_HOME=home))
            for _ in range(TURNS)
        ]
    served, ephemeral = (statistics.median(values) for values in zip(*turns, strict=True))
    return Own(len(shape), served, ephemeral)


def measure(project: Path) -> tuple[Demo, Own]:
    """Both, for the project whose last commit is the demo."""
    with prefect_server() as api:
        return demo(api), own(api, plan(project))
