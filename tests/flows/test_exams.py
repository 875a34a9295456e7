"""Exams that run when a flow is cancelled, or a promotion interrupted: they end at once with it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import yaml

from components.config.load import load_settings
from flows.promote import PARAMS, Desk
from tests.flows.conftest import at_work, finish
from tests.flows.serving import (
    cancel,
    deployment,
    ended,
    eventually,
    of_process,
    operated,
    started,
)
from tests.shrunk import ROOT, change, write_params

EXAM = "components.evaluate.evaluation"


@pytest.fixture
def project(new_toy, template, store, prefect_api, monkeypatch):
    """A toy project with a challenger whose exam waits for the test data: a pipe without an end."""
    toy = operated(new_toy(template))
    monkeypatch.chdir(toy.path)
    params = yaml.safe_load(PARAMS.read_text())
    write_params(PARAMS, change(params, {"register.model": f"model-{store.unique}"}))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TOY_HOOKS", "")
    register = load_settings(PARAMS).register_
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    client.create_registered_model(register.model)
    client.create_model_version(register.model, "s3://nowhere/1")
    client.set_registered_model_alias(register.model, register.alias, "1")
    (Desk().home("1") / "model").mkdir(parents=True)
    Path("data/media").mkdir(parents=True)
    os.mkfifo("data/samples.parquet")
    return toy


@pytest.fixture
def begin():
    """Start a module in the working directory; it is killed with the test."""
    with contextlib.ExitStack() as begun:

        def call(module: str) -> subprocess.Popen:
            command = [sys.executable, "-m", module]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = begun.enter_context(subprocess.Popen(command, text=True, **pipes))
            begun.callback(process.kill)
            return process

        yield call


@pytest.mark.parametrize("flow", ["retrain", "evaluate"])
def test_a_run_from_the_shell_that_is_cancelled_ends_its_exam(project, client, begin, flow):
    process = begin(f"flows.{flow}")
    eventually(lambda: at_work(project, EXAM))
    run = of_process(client, process.pid)
    cancel(client, run.id)
    code, output = finish(process)
    assert code == 130, output
    assert "Traceback" not in output
    assert not at_work(project, EXAM)
    assert client.read_flow_run(run.id).state.name == "Cancelled"
    assert Desk().log.champion() is None


def test_a_served_run_that_is_cancelled_ends_its_exam(project, client):
    with started(project, "flows.serve"):
        served = eventually(lambda: deployment(client, "retrain/retrain"))
        run = client.create_flow_run_from_deployment(served.id)
        eventually(lambda: at_work(project, EXAM))
        cancel(client, run.id)
        assert eventually(lambda: ended(client, run)).name == "Cancelled"
        eventually(lambda: not at_work(project, EXAM))
    assert Desk().log.champion() is None


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_promotion_that_is_interrupted_ends_its_exam_and_promotes_nothing(project, begin, how):
    process = begin("flows.promote")
    eventually(lambda: at_work(project, EXAM))
    process.send_signal(how)
    assert finish(process)[0] == -how
    eventually(lambda: not at_work(project, EXAM))
    assert Desk().log.champion() is None and Desk().log.entries() == []
