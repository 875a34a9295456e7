"""Processes that train together start together, fail as one, and end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from components.common.errors import InputError
from components.training.launch import processes_of, training_device
from components.training.settings import LoopSettings, OptimizerSettings
from tests.support.params import ROOT, small_params, write_params

PROCESSES = 2
SLOW = pytest.mark.slow


def command(folder: Path, fail: str, launcher: tuple[str, ...] = (), **changes) -> list[str]:
    params = small_params({"train.processes": PROCESSES, **changes})
    path = write_params(folder / "params.yaml", params)
    options = ("--params", str(path), "--out", str(folder / "out"), "--fail", fail)
    return [sys.executable, "-m", *launcher, "tests.training.launched", *options]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments, **options),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_processes_meet(tmp_path, threads, preloaded):
    """Several threads, too, which this process had started before it was copied."""
    process = run(tmp_path, "never", threads=threads)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == "of all processes: 3\n"  # 1 + (1 + 1)
    assert len({path.read_text() for path in (tmp_path / "out").iterdir()}) == PROCESSES


@pytest.mark.parametrize("fail", ["input", "input everywhere"])
def test_mistake_is_reported_once_without_traceback(tmp_path, fail, preloaded):
    process = run(tmp_path, fail)
    assert process.returncode == 2
    assert process.stderr == "error: the label is odd\n"


def test_fault_is_reported_once_with_traceback(tmp_path, preloaded):
    process = run(tmp_path, "fault")
    assert process.returncode == 1
    assert process.stderr.count("Traceback") == 1
    assert process.stderr.count("RuntimeError: out of luck") == 1
    assert "process 1 of the training processes failed, exit code 1" in process.stderr


def test_killed_process_is_named(tmp_path, preloaded):
    process = run(tmp_path, "killed")
    assert process.returncode == 1
    assert "process 1 of the training processes failed, exit code -9" in process.stderr
    assert "Traceback" not in process.stderr


@SLOW
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_stage(tmp_path, sent):
    process = subprocess.Popen(command(tmp_path, "asleep"), cwd=ROOT)
    started = [tmp_path / "out" / str(number) for number in range(PROCESSES)]
    wait_until(lambda: all(path.exists() for path in started))
    process.send_signal(sent)
    assert process.wait(60) == -sent
    wait_until(lambda: not any(is_alive(int(path.read_text())) for path in started))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@SLOW
def test_torchrun_can_start_them(tmp_path, preloaded):
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), "-m")
    process = run(tmp_path, "never", torchrun)
    assert process.returncode == 0, process.stderr
    assert len(list((tmp_path / "out").iterdir())) == PROCESSES
    alone = (*torchrun[:-2], "1", "-m")
    other = run(tmp_path, "never", alone)
    assert other.returncode != 0
    assert "torchrun has started 1 processes, but 2 train together" in other.stderr


@pytest.mark.parametrize(
    ("wanted", "items", "batch_size", "expected"),
    [(None, 1000, 32, 2), (None, 999, 32, 1), (None, 1000, 31, 1), (1, 1000, 32, 1), (3, 1, 32, 3)],
)
def test_much_to_train_takes_two_processes(wanted, items, batch_size, expected):
    """Settings and data decide, not the machine."""
    optimizer = OptimizerSettings(epochs=10, batch_size=batch_size)
    assert processes_of(LoopSettings(processes=wanted), optimizer, items) == expected


def test_each_process_needs_a_gpu(monkeypatch):
    assert training_device(8, "cpu") == torch.device("cpu")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert training_device(1, "cuda") == torch.device("cuda", 0)
    with pytest.raises(InputError, match="a GPU for each of 2 processes, PyTorch found 1"):
        training_device(2, "cuda")
