"""Whole runs of the pipeline in fresh clones: time, memory, accuracy, and equality to the byte."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import psutil
import yaml

STAGE_LINE = re.compile(r"^Running stage '(\w+)'")
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    """One `dvc repro` from nothing.

    Attributes:
        seconds: wall time, of each stage and in all.
        memory: the most that DVC and its stages held together, in bytes (proportional set size).
        accuracy: on the test split, by task and subset of modalities.
        lock: the content of dvc.lock afterwards.
    """

    stages: dict[str, float]
    seconds: float
    memory: int
    accuracy: dict[str, dict[str, float]]
    lock: bytes


@contextmanager
def clone() -> Iterator[Path]:
    """A clone of the last commit, with a cache and an MLflow store of its own, in which nothing
    has run."""
    with TemporaryDirectory() as name:
        path = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", ".", str(path)], check=True)
        yield path


def start(path: Path) -> subprocess.Popen:
    """Start `dvc repro` in a process group of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(path)  # the clone's code, not that of an editable install
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def memory_of(pid: int) -> int:
    """What a process and its children hold, in bytes; shared pages are counted once."""
    total = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass
    return total


def run(path: Path) -> Run:
    """Run the pipeline in a clone to its end."""
    process, done, peak = start(path), Event(), 0

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
        raise RuntimeError(f"dvc repro ended with {code} in {path}:\n{''.join(output[-40:])}")
    ends = [moment for _, moment in marks[1:]] + [ended]
    return Run(
        stages={name: end - began for (name, began), end in zip(marks, ends, strict=True)},
        seconds=ended - began,
        memory=peak,
        accuracy=json.loads((path / "reports/metrics.json").read_text())["accuracy"],
        lock=(path / "dvc.lock").read_bytes(),
    )


def with_seed(path: Path, seed: int) -> None:
    """Set the seed of a clone."""
    params = path / "params.yaml"
    params.write_text(re.sub(r"(?m)^seed: \d+", f"seed: {seed}", params.read_text()))
    assert yaml.safe_load(params.read_text())["seed"] == seed


def run_killed(path: Path, stages: dict[str, float]) -> bytes:
    """Run the pipeline, killed once in the middle of each stage with SIGKILL and started again.

    Args:
        path: a clone in which nothing has run.
        stages: how long each stage takes.

    Returns:
        The content of dvc.lock afterwards.
    """
    for name, seconds in stages.items():
        process = start(path)
        for line in process.stdout:
            if (found := STAGE_LINE.match(line)) and found[1] == name:
                time.sleep(seconds / 3)
                os.killpg(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read()
        process.wait()
        if any(STAGE_LINE.match(line) for line in rest.splitlines()):
            raise RuntimeError(f"{name} was over before it was killed: the machine is not idle")
    return run(path).lock
