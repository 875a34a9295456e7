"""Runs in one working tree wait for each other."""

import logging
import os
import signal
import subprocess
import sys
from threading import Event, Timer

import pytest

from tests.support.params import ROOT

HOLD = """
import sys
from threading import Event
from flows.dvc.run_lock import run_lock
from prefect import flow

@flow(name="held", flow_run_name="first")
def held():
    with run_lock(Event()), run_lock(Event()):
        print("mine", flush=True)
        sys.stdin.readline()

held()
"""


@pytest.fixture
def holder(toy, prefect_api):
    """Another process that holds the lock of the toy's working tree until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


@pytest.mark.parametrize("end", ["done", "killed"])
def test_run_waits_until_other_ends(toy, holder, end):
    from flows.pipeline import pipeline

    class Ending(logging.Handler):
        """Ends the other run once this one waits, before it ran anything."""

        def emit(self, record):
            if "waiting for held first (process" in record.getMessage():
                assert toy.ran() == []
                holder.stdin.close() if end == "done" else holder.send_signal(signal.SIGKILL)
                logger.removeHandler(self)

    logger = logging.getLogger("prefect.flow_runs")
    handler = Ending()
    logger.addHandler(handler)
    state = pipeline(targets=["source"], return_state=True)
    assert state.is_completed()
    assert handler not in logger.handlers  # it did wait
    assert toy.ran() == ["source"]


def test_waiting_run_can_be_stopped(toy, holder, prefect_api):
    from prefect import flow

    from flows.dvc.run_lock import run_lock

    stopping = Event()

    @flow
    def waiting() -> bool:
        with run_lock(stopping):
            return stopping.is_set()

    Timer(0.1, stopping.set).start()
    assert waiting()


def test_inner_run_shares_lock(toy, prefect_api):
    from prefect import flow

    from flows.dvc.run_lock import run_lock

    @flow
    def outer() -> None:
        with run_lock(Event()):
            inner()
            inner()

    @flow
    def inner() -> None:
        with run_lock(Event()):
            pass

    outer()
    outer()
    held = (toy.path / ".dvc/tmp/run").read_text()
    assert held.startswith("outer ") and held.endswith(f" (process {os.getpid()})")
