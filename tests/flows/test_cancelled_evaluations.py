"""Evaluations end at once when the flow or command that runs them is cancelled or killed."""

import os
import signal
from pathlib import Path

import pytest

from flows.promotion.registered_model import RegisteredModel
from flows.settings import flow_settings
from tests.flows.deployments import (
    cancel,
    deployment,
    final_state,
    run_of_process,
    started,
    state_of,
)
from tests.flows.registry import Registered
from tests.flows.toy import NO_CRONS, Toy, eventually, finish
from tests.support.params import ROOT

EVALUATION = "components.evaluate.evaluation"


@pytest.fixture
def project(entered, template, store, prefect_api, monkeypatch) -> Toy:
    """A toy project with a challenger whose evaluation waits for a table: a pipe without an end."""
    toy = entered(template)
    toy.use_shipped_settings()
    registered = Registered.create(f"model-{store.unique}", versions=1, **NO_CRONS)
    registered.set_alias(flow_settings().register_.alias, "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (RegisteredModel()._home("1") / "model").mkdir(parents=True)  # so that nothing is downloaded
    Path("data/media").mkdir(parents=True)
    Path("data/baselines.parquet").touch()
    os.mkfifo("data/samples.parquet")
    return toy


@pytest.fixture
def begin(project):
    """Start a module in the project; it is killed with the test."""
    begun = []

    def call(module: str):
        begun.append(project.start("-m", module))
        return begun[-1]

    yield call
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("flow", ["retrain", "evaluate"])
def test_cancelled_run_from_shell_ends_evaluation(project, client, begin, flow):
    process = begin(f"flows.{flow}")
    eventually(lambda: project.processes(EVALUATION))
    run = run_of_process(client, process.pid)
    cancel(client, run)
    code, output = finish(process)
    assert code == 130, output
    assert "Traceback" not in output
    assert not project.processes(EVALUATION)
    assert state_of(client, run).name == "Cancelled"
    assert RegisteredModel().log.champion() is None


def test_cancelled_served_run_ends_evaluation(project, client):
    with started(project, "flows.serve"):
        served = eventually(lambda: deployment(client, "retrain/retrain"))
        run = client.create_flow_run_from_deployment(served.id)
        eventually(lambda: project.processes(EVALUATION))
        cancel(client, run)
        assert eventually(lambda: final_state(client, run)).name == "Cancelled"
        eventually(lambda: not project.processes(EVALUATION))
    assert RegisteredModel().log.champion() is None


@pytest.mark.parametrize(
    ("how", "database"),
    [(signal.SIGINT, "sqlite"), (signal.SIGKILL, "sqlite"), (signal.SIGKILL, "postgresql")],
    indirect=["database"],
)
def test_interrupted_promotion_ends_evaluation(project, begin, how):
    process = begin("flows.promote")
    eventually(lambda: project.processes(EVALUATION))
    process.send_signal(how)
    assert finish(process)[0] == (130 if how == signal.SIGINT else -how)
    eventually(lambda: not project.processes(EVALUATION))
    log = RegisteredModel().log
    assert log.champion() is None and log.entries() == []
