"""Processes that train together start together, fail as one, and end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.training.launch import device
from components.training.settings import TrainSettings
from tests.shrunk import ROOT, small_params, small_settings, write_params

PROCESSES = 2


def command(folder: Path, fail: str, launcher: tuple[str, ...] = (), **changes) -> list[str]:
    params = small_params({"train.processes": PROCESSES, **changes})
    path = write_params(folder / "params.yaml", params)
    options = ("--params", str(path), "--out", str(folder / "out"), "--fail", fail)
    return [sys.executable, "-m", *launcher, "tests.train.joint", *options]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments, **options),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_they_meet(tmp_path):
    process = run(tmp_path, "never")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert len({path.read_text() for path in (tmp_path / "out").iterdir()}) == PROCESSES


@pytest.mark.parametrize("fail", ["input", "input everywhere"])
def test_a_mistake_is_reported_once_without_a_traceback(tmp_path, fail):
    process = run(tmp_path, fail)
    assert process.returncode == 2
    assert process.stderr == "error: the label is odd\n"


def test_a_fault_is_reported_once_with_its_traceback(tmp_path):
    process = run(tmp_path, "fault")
    assert process.returncode == 1
    assert process.stderr.count("Traceback") == 1
    assert process.stderr.count("RuntimeError: out of luck") == 1
    assert "process 1 of the training processes failed, exit code 1" in process.stderr


def test_a_process_that_is_killed_is_named(tmp_path):
    process = run(tmp_path, "killed")
    assert process.returncode == 1
    assert "process 1 of the training processes failed, exit code -9" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_all_end_with_the_stage(tmp_path, sent):
    process = subprocess.Popen(command(tmp_path, "asleep"), cwd=ROOT)
    started = [tmp_path / "out" / str(number) for number in range(PROCESSES)]
    until(lambda: all(path.exists() for path in started))
    process.send_signal(sent)
    assert process.wait(60) == -sent
    until(lambda: not any(alive(int(path.read_text())) for path in started))


def until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_torchrun_starts_them_too(tmp_path):
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES), "-m")
    process = run(tmp_path, "never", torchrun)
    assert process.returncode == 0, process.stderr
    assert len(list((tmp_path / "out").iterdir())) == PROCESSES
    other = run(tmp_path, "never", torchrun, **{"train.processes": 3})
    assert other.returncode != 0
    assert "torchrun has started 2 processes, train.processes is 3" in other.stderr


def test_a_gpu_for_each_process_or_a_clear_refusal(monkeypatch):
    def settings(**changes) -> TrainSettings:
        return small_settings({f"train.{key}": value for key, value in changes.items()}).train

    assert device(settings(processes=8)).type == "cpu"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert str(device(settings(device="cuda"))) == "cuda:0"
    with pytest.raises(InputError, match="a GPU for each of 2 processes, PyTorch found 1"):
        device(settings(device="cuda", processes=2))
