"""A command's process group: its output, its limits, and its end."""

import os
import signal
import sys
import time
from threading import Event, Timer

import pytest

from components.common.errors import InputError
from flows.processes import command
from flows.processes.command import Stopped, TimeLimit, run_command, run_component


def sh(script, log=lambda line: None, stopping=None, timeout=20):
    return run_command(
        ["/bin/sh", "-c", script], os.getcwd(), os.environ, log, stopping or Event(), timeout
    )


def gone(pid: int) -> bool:
    """Return whether a process is dead, or a zombie, within two seconds."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_lines_and_exit_code():
    lines = []
    assert sh("echo one; echo two >&2; exit 3", lines.append) == 3
    assert lines == ["one", "two"]


def test_undecodable_output_is_logged():
    lines = []
    assert sh(r"printf '\377\n'; echo after", lines.append) == 0
    assert lines == ["\ufffd", "after"]


def test_time_limit_kills_group(tmp_path):
    with pytest.raises(TimeLimit):
        sh(f"sleep 100 & echo $! > {tmp_path}/pid; wait", timeout=0.3)
    assert gone(int((tmp_path / "pid").read_text()))


def test_command_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.2)
    with pytest.raises(TimeLimit):
        sh(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done", timeout=0.3)
    assert gone(int((tmp_path / "pid").read_text()))


def test_command_may_clean_up_after_sigterm(tmp_path):
    with pytest.raises(TimeLimit):
        sh(f"trap 'echo clean > {tmp_path}/clean; exit' TERM; while :; do sleep 0.1; done",
           timeout=0.3)  # fmt: skip
    assert (tmp_path / "clean").exists()


def test_ended_command_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.2)
    assert sh(f"sleep 100 & echo $! > {tmp_path}/pid") == 0
    assert gone(int((tmp_path / "pid").read_text()))


def test_daemon_outside_of_group_is_not_awaited(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.2)
    assert sh(f"setsid sleep 100 & echo $! > {tmp_path}/pid") == 0
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_stopping():
    stopping = Event()
    Timer(0.2, stopping.set).start()
    with pytest.raises(Stopped):
        sh("sleep 100", stopping=stopping)


def test_nothing_begins_once_it_is_stopping(tmp_path):
    stopping = Event()
    stopping.set()
    with pytest.raises(Stopped):
        sh(f"touch {tmp_path}/began", stopping=stopping)
    assert not (tmp_path / "began").exists()


@pytest.fixture
def component(tmp_path, monkeypatch):
    """Run a component of these lines."""
    monkeypatch.chdir(tmp_path)

    def call(code: str, *words: str) -> str:
        (tmp_path / "component.py").write_text(code)
        return run_component("component", words, Event())

    return call


def test_component_output_is_apart_from_errors(component):
    code = "import sys; print(sys.argv[1]); print('warning: slow', file=sys.stderr); print('two')"
    assert component(code, "one") == "one\ntwo"


def test_component_mistake_is_input_error(component):
    with pytest.raises(InputError, match="^component: no such file$"):
        component(
            "import sys; print('warning: slow\\nerror: no such file', file=sys.stderr); sys.exit(2)"
        )


def test_component_fault_has_its_output(component):
    with pytest.raises(RuntimeError, match="(?s)component ended with code 1:\nbegun\n.*KeyError"):
        component("print('begun'); {}[1]")


def test_killed_driver_takes_group_along(tmp_path):
    script = f"sleep 100 & echo $! > {tmp_path}/pid; kill -KILL {{driver}}; wait"
    driver = os.fork()
    if driver == 0:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stderr.fileno())
        sh(script.format(driver=os.getpid()))
        os._exit(1)
    _, status = os.waitpid(driver, 0)
    assert os.WTERMSIG(status) == 9
    assert gone(int((tmp_path / "pid").read_text()))
