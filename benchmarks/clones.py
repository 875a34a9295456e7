"""Whole runs of the pipeline in fresh clones: time, memory, accuracy, and equal bytes."""

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

from benchmarks.figures import GIGABYTE, REPORTED, Figure, equality
from benchmarks.project import Project, temporary
from components.common.files import read_json
from flows.params_file import edit

STAGE_LINE = re.compile(r"^Running stage '(\w+)'")
SAMPLE_SECONDS = 0.5
SEEDS = (0, 1, 2)  # of a run each; the first is that of params.yaml, which dvc.lock records
ACCURACIES = [  # task, modalities, bar
    ("answer", "image-text", "≥ 99.95 %"),
    ("answer", "image-audio", "≥ 99.9 %"),
    ("answer", "image-text-audio", "≥ 99.95 %"),
    ("answer", "text", REPORTED),
    ("answer", "audio", REPORTED),
    ("answer", "image", REPORTED),
    ("shape", "image", "≥ 99.9 %"),
    ("colour", "image", "≥ 99.9 %"),
]


@dataclass(frozen=True)
class Run:
    """One `dvc repro` from nothing."""

    stages: dict[str, float]  # wall time of each in seconds
    seconds: float  # wall time in all
    memory: int  # the most that DVC and its stages held together, in bytes
    lock: bytes  # content of dvc.lock afterwards


def memory_of(pid: int) -> int:
    """Return the bytes that a process and its children hold, shared pages counted once (PSS)."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    return total


def run(project: Project) -> Run:
    """Run the pipeline in a clone to its end."""
    process, done, peak = project.start("dvc", "repro"), Event(), 0

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, memory_of(process.pid))

    watcher = Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    marks, output = [], []
    for line in process.stdout:
        output.append(line)
        if found := STAGE_LINE.match(line):
            marks.append((found[1], time.monotonic()))
    code = process.wait()
    ended = time.monotonic()
    done.set()
    watcher.join()
    if code:
        raise RuntimeError(f"dvc repro ended with {code}:\n{''.join(output[-40:])}")
    ends = [moment for _, moment in marks[1:]] + [ended]
    return Run(
        stages={name: end - start for (name, start), end in zip(marks, ends, strict=True)},
        seconds=ended - began,
        memory=peak,
        lock=project.lock,
    )


def run_killed(project: Project, stages: Mapping[str, float]) -> bytes:
    """Run the pipeline, whose stages are each once killed with SIGKILL; return dvc.lock.

    Args:
        project: a clone in which nothing has run.
        stages: in order, and how long each takes in seconds.
    """
    for name, seconds in stages.items():
        process = project.start("dvc", "repro")
        for line in process.stdout:
            if (found := STAGE_LINE.match(line)) and found[1] == name:
                time.sleep(seconds / 3)
                os.killpg(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read()
        process.wait()
        if any(STAGE_LINE.match(line) for line in rest.splitlines()):
            raise RuntimeError(f"{name} was over before it was killed: the machine is not idle")
    return run(project).lock


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table: accuracy, time, memory, and equality of clones."""
    runs, metrics = [], []
    with temporary(Project.fresh) as fresh:
        for seed in SEEDS:
            with temporary(fresh.copy) as clone:
                if seed != SEEDS[0]:
                    edit(clone.path / "params.yaml", {"seed": seed})
                runs.append(run(clone))
                metrics.append(read_json(clone.path / "reports/metrics.json"))
        for task, subset, bar in ACCURACIES:
            values = ", ".join(f"{found['accuracy'][task][subset]:.2%}" for found in metrics)
            seeds = ", ".join(map(str, SEEDS))
            yield Figure(f"test accuracy, {task}, {subset} (seeds {seeds})", values, bar)
        yield from _costs(runs)
        first = runs[0]
        committed = (project / "dvc.lock").read_bytes()
        yield equality("`dvc.lock` of the clone and the one committed", first.lock, committed)
        with temporary(fresh.copy) as clone:
            killed = run_killed(clone, first.stages)
        name = "`dvc.lock` of a second clone in which each stage was once killed with SIGKILL"
        yield equality(name, first.lock, killed)


def _costs(runs: Sequence[Run]) -> Iterator[Figure]:
    worst = max(run.seconds for run in runs)
    memory = max(run.memory for run in runs) / GIGABYTE
    times = ", ".join(f"{name} {seconds:.0f}" for name, seconds in runs[0].stages.items())
    yield Figure("`dvc repro` from nothing, the slowest seed", f"{worst:.0f} s", "≤ 300 s")
    yield Figure("of these, seconds per stage (the first seed)", times, "")
    yield Figure("the most memory held, DVC and stages together", f"{memory:.1f} GB", "≤ 4 GB")
