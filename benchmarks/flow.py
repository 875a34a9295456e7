"""The flow against `dvc repro`, and its own time over the critical path."""

import contextlib
import os
import re
import shutil
import socket
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import clones
from benchmarks.figures import Figure, equality
from benchmarks.project import Project, temporary
from benchmarks.stages import ROOT
from flows.dvc.plan import PlannedStage
from flows.dvc.stages import Stages
from flows.processes.process import Process
from flows.services.servers import HOST, TELEMETRY_OFF, answers, prefect_command

SLEEP_SECONDS = 1  # of each stage that does nothing else
REPETITIONS = 3  # of each run of such stages
SECONDS, SECONDS_PER_STAGE = 2.0, 0.3  # of overhead that the flow may have
ROW = re.compile(r"^  (\S+) +(?:ran|restored|up to date) +([\d.]+) s", re.MULTILINE)


@dataclass(frozen=True)
class FlowRun:
    """One run of the flow: seconds of its process and of each stage, and dvc.lock afterwards."""

    seconds: float
    stages: dict[str, float]
    lock: bytes


def plan(project: Path) -> list[PlannedStage]:
    """Return the stages of a project, each with those that it waits for."""
    with contextlib.chdir(project):
        return Stages().plan()


def critical_path(stages: Sequence[PlannedStage], seconds: Mapping[str, float]) -> float:
    """Return how long the longest chain of stages takes, each waiting for the one before."""
    ends: dict[str, float] = {}
    for stage in stages:
        begins = max((ends[name] for name in stage.upstream), default=0.0)
        ends[stage.name] = begins + seconds[stage.name]
    return max(ends.values())


@contextmanager
def prefect_server() -> Iterator[str]:
    """Give the address of a Prefect server with its own database."""
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


def run_flow(project: Project, workers: int, **more: str) -> FlowRun:
    """Run the flow in a project, with more variables in its environment."""
    began = time.monotonic()
    output = project.run("flows.pipeline", "--workers", str(workers), **more)
    seconds = time.monotonic() - began
    stages = {name: float(value) for name, value in ROW.findall(output)}
    return FlowRun(seconds, stages, project.lock)


def pipeline_figures(api: str) -> Iterator[Figure]:
    """Yield the comparison of `dvc repro` and the flow on all cores, both from nothing."""
    cores = os.cpu_count() or 1
    with temporary(Project.fresh) as fresh:
        with temporary(fresh.copy) as clone:
            plain = clones.run(clone)
        stages = plan(fresh.path)
        flown = run_flow(fresh, cores, PREFECT_API_URL=api)
    value = (
        f"{flown.seconds / plain.seconds:.2f} × ({flown.seconds:.0f} s against "
        f"{plain.seconds:.0f} s; critical path {critical_path(stages, flown.stages):.0f} s)"
    )
    yield Figure(f"the flow against `dvc repro`, from nothing, {cores} cores", value)
    yield equality("`dvc.lock` of both", plain.lock, flown.lock)


@contextmanager
def sleeping_project(shape: Sequence[PlannedStage]) -> Iterator[Project]:
    """Give a project with a graph of this shape whose stages sleep, so none waits for a core."""
    stages = {
        stage.name: {
            "cmd": f"sleep {SLEEP_SECONDS} && echo {stage.name} > {stage.name}.txt",
            "deps": [f"{name}.txt" for name in stage.upstream],
            "outs": [f"{stage.name}.txt"],
        }
        for stage in shape
    }
    with TemporaryDirectory() as name:
        shutil.copy(ROOT / "params.yaml", name)  # which the flow checks first
        yield Project.of_stages(Path(name), stages)


def overhead(shape: Sequence[PlannedStage], **more: str) -> float:
    """Return seconds that the flow takes longer than its stages sleep on the critical path."""
    with sleeping_project(shape) as project:
        run = run_flow(project, len(shape), PYTHONPATH=str(ROOT), **more)
    return run.seconds - critical_path(shape, {stage.name: SLEEP_SECONDS for stage in shape})


def overhead_figures(api: str, shape: Sequence[PlannedStage]) -> Iterator[Figure]:
    """Yield medians of the overhead, measured alternately with and without a running server.

    The first ephemeral server makes its database, which the median leaves out.
    """
    with TemporaryDirectory() as home:
        pairs = [
            (overhead(shape, PREFECT_API_URL=api), overhead(shape, PREFECT_HOME=home))
            for _ in range(REPETITIONS)
        ]
    served, ephemeral = map(statistics.median, zip(*pairs, strict=True))
    name = f"the flow's overhead over the critical path, with {len(shape)} stages that only sleep"
    yield Figure(name, f"{served:.1f} s", f"≤ {SECONDS + SECONDS_PER_STAGE * len(shape):.1f} s")
    more = f"+ {ephemeral - served:.1f} s"
    yield Figure("the same where the flow starts a Prefect server itself", more, "")


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    with prefect_server() as api:
        yield from pipeline_figures(api)
        yield from overhead_figures(api, plan(project))
