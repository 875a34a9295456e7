"""Runs that are cancelled on Prefect's server, and runs whose process was killed."""

import os
import subprocess
import sys

import pytest
from prefect.states import Cancelling, Running

from tests.flows.conftest import assert_none_alive, finish, wait_for
from tests.flows.serving import cancel, deployment, ended, eventually, of_process
from tests.shrunk import ROOT

LINGER = "sleep 1000 & wait_for never"
SERVE = "from flows.pipeline import pipeline; pipeline.serve('toy', limit=1)"


@pytest.fixture
def serve(toy, client):
    """The flow served as a deployment by a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    end(process)


def end(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(timeout=60)


def test_a_run_from_the_shell_that_is_cancelled_ends_so_and_begins_no_retry(toy, shell, client):
    toy.hook("source", LINGER)
    process = shell("--target", "left", "--retries", "3")
    wait_for(toy.hooks / "source.started")
    flow_run = of_process(client, process.pid)
    cancel(client, flow_run.id)
    code, output = finish(process)
    assert code == 130, output
    assert "Traceback" not in output
    assert_none_alive(toy)
    assert client.read_flow_run(flow_run.id).state.name == "Cancelled"
    assert toy.ran() == ["source"]


def test_a_served_run_that_is_cancelled_ends_so_and_begins_no_retry(toy, serve, client):
    toy.hook("source", LINGER)
    flow_run = client.create_flow_run_from_deployment(
        eventually(lambda: deployment(client, "pipeline/toy")).id,
        parameters={"targets": ["left"], "retries": 3},
    )
    wait_for(toy.hooks / "source.started")
    cancel(client, flow_run.id)
    assert eventually(lambda: ended(client, flow_run)).name == "Cancelled"
    end(serve)  # which has the toy's hooks in its environment too
    assert_none_alive(toy)
    assert toy.ran() == ["source"]


def test_a_run_that_waits_for_a_retry_can_be_cancelled(toy, shell, client):
    toy.hook("source", "exit 75")
    process = shell("--target", "source", "--retries", "1", "--retry-seconds", "10000")
    wait_for(toy.hooks / "source.started")
    flow_run = of_process(client, process.pid)
    cancel(client, flow_run.id)
    assert finish(process)[0] == 130
    assert client.read_flow_run(flow_run.id).state.name == "Cancelled"
    assert toy.ran() == ["source"]


def test_a_run_that_waits_to_push_again_can_be_cancelled(done, shell, client, tmp_path):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    done.dvc("remote", "add", "-q", "--default", "far", str(tmp_path / "blocked" / "far"))
    process = shell("--push")
    while "Retry 1/3" not in (line := process.stdout.readline()):
        assert line, "it ended before"
    flow_run = of_process(client, process.pid)
    cancel(client, flow_run.id)
    assert finish(process)[0] == 130
    state = client.read_flow_run(flow_run.id).state
    assert (state.name, state.message) == ("Cancelled", "6 up to date")


@pytest.mark.parametrize(("asked", "ends"), [(None, "Crashed"), (Cancelling, "Cancelled")])
def test_a_run_whose_process_was_killed_is_ended_by_the_next(toy, shell, run, client, asked, ends):
    toy.hook("source", LINGER)
    process = shell("--target", "source")
    wait_for(toy.hooks / "source.started")
    lost = of_process(client, process.pid)
    process.kill()
    finish(process)
    if asked:
        client.set_flow_run_state(lost.id, asked())
    assert not client.read_flow_run(lost.id).state.is_final()
    toy.hook("source", "")
    assert run(targets=["source"])[0].is_completed()
    state = client.read_flow_run(lost.id).state
    assert (state.name, str(process.pid) in state.message) == (ends, True)


@pytest.mark.parametrize("owner", ["elsewhere", "alive", "unknown"])
def test_a_run_that_may_be_alive_is_left_alone(toy, prefect_api, client, owner):
    from flows.pipeline import pipeline
    from flows.runs import _this_process, end_lost

    flow_run = client.create_flow_run(pipeline, state=Running())
    labels = {
        "elsewhere": {"process.host": "elsewhere", "process.pid": 1, "process.began": 1.0},
        "alive": _this_process(),
        "unknown": {},
    }[owner]
    client.update_flow_run_labels(flow_run.id, labels)
    assert end_lost("pipeline") == []
    assert client.read_flow_run(flow_run.id).state.is_running()
    client.delete_flow_run(flow_run.id)


def test_a_process_of_the_same_number_is_another_one(prefect_api, client):
    from flows.pipeline import pipeline
    from flows.runs import _this_process, end_lost

    flow_run = client.create_flow_run(pipeline, state=Running())
    client.update_flow_run_labels(flow_run.id, _this_process() | {"process.began": 1.0})
    assert [lost.id for lost in end_lost("pipeline")] == [flow_run.id]
    assert client.read_flow_run(flow_run.id).state.is_crashed()
