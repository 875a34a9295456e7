"""A stage ends with the process that started it, and no two use the same files."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from components.common.errors import Unavailable
from components.stage import process
from components.stage.process import alone, ended_with_starter
from tests.support.params import ROOT

STAGE = """
import subprocess, sys, time
from components.stage.process import ended_with_starter
with ended_with_starter():
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    time.sleep(600)
"""
STARTER = """
import subprocess, sys
subprocess.run(sys.argv[1:])
"""


@pytest.fixture
def start():
    """Start a command; kill it and what it has started at the end."""
    processes = []

    def start(*argv: str) -> subprocess.Popen:
        found = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        processes.append(found)
        return found

    yield start
    for found in processes:
        if found.poll() is None:
            for child in [*psutil.Process(found.pid).children(recursive=True), found]:
                child.kill()
        found.communicate()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("shell", [[], ["sh", "-c", '"$@"; true', "sh"]], ids=["", "shell"])
def test_it_ends_with_its_starter(start, shell, ending):
    starter = start(sys.executable, "-c", STARTER, *shell, sys.executable, "-c", STAGE)
    child = psutil.Process(int(starter.stdout.readline()))
    stage = child.parent()
    starter.send_signal(ending)
    starter.wait()
    assert psutil.wait_procs([stage, child], timeout=20)[1] == []


def test_it_outlives_other_processes(start, monkeypatch):
    monkeypatch.setattr(process, "POLL_SECONDS", 0.01)
    with ended_with_starter():
        other = start("sleep", "600")
        other.kill()
        other.wait()
        assert start("sleep", "0.2").wait() == 0


def test_second_user_of_a_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "WAIT_SECONDS", 0.05)
    scratch = tmp_path / "work" / "ingest"
    refused = pytest.raises(Unavailable, match="ingest is in use: this stage runs")
    with alone([scratch]), refused, alone([scratch]):
        pass
    with alone([scratch]):
        pass


def test_killed_user_releases_its_folder(tmp_path, start):
    scratch = tmp_path / "ingest"
    code = (
        "import sys, time; from pathlib import Path; from components.stage.process import alone\n"
        "with alone([Path(sys.argv[1])]): print(flush=True); time.sleep(600)"
    )
    holder = start(sys.executable, "-c", code, str(scratch))
    holder.stdout.readline()
    holder.kill()
    with alone([scratch]):
        assert Path(f"{scratch}.lock").exists()
