"""Runs that are cancelled on Prefect's server, and runs whose process was killed."""

import subprocess

import pytest
from prefect.states import Cancelling, Pending, Running

from tests.flows.deployments import cancel, deployment, final_state, run_of_process, state_of
from tests.flows.toy import LINGER, eventually, finish, wait_for

SERVE = "from flows.pipeline import pipeline; pipeline.serve('toy', limit=1)"


@pytest.fixture
def serve(toy, client):
    """Another process that serves the flow as a deployment."""
    process = toy.start("-c", SERVE)
    yield process
    end(process)


def end(process: subprocess.Popen) -> None:
    process.terminate()
    finish(process)


def test_cancelled_run_from_shell_ends_without_retry(toy, client):
    toy.hook("source", LINGER)
    process = toy.start("-m", "flows.pipeline", "--target", "left", "--retries", "3")
    wait_for(toy.hooks / "source.started")
    run = run_of_process(client, process.pid)
    cancel(client, run)
    code, output = finish(process)
    assert code == 130, output
    assert "Traceback" not in output
    toy.assert_none_alive()
    assert state_of(client, run).name == "Cancelled"
    assert toy.ran() == ["source"]


def test_cancelled_served_run_ends_without_retry(toy, serve, client):
    toy.hook("source", LINGER)
    run = client.create_flow_run_from_deployment(
        eventually(lambda: deployment(client, "pipeline/toy")).id,
        parameters={"targets": ["left"], "retries": 3},
    )
    wait_for(toy.hooks / "source.started")
    cancel(client, run)
    assert eventually(lambda: final_state(client, run)).name == "Cancelled"
    end(serve)  # which has the toy's hooks in its environment too
    toy.assert_none_alive()
    assert toy.ran() == ["source"]


def test_run_waiting_for_retry_can_be_cancelled(toy, client):
    toy.hook("source", "exit 75")
    words = ("--target", "source", "--retries", "1", "--retry-seconds", "10000")
    process = toy.start("-m", "flows.pipeline", *words)
    wait_for(toy.hooks / "source.started")
    run = run_of_process(client, process.pid)
    cancel(client, run)
    assert finish(process)[0] == 130
    assert state_of(client, run).name == "Cancelled"
    assert toy.ran() == ["source"]


def test_run_waiting_to_push_again_can_be_cancelled(done, client, tmp_path):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    done.dvc("remote", "add", "-q", "--default", "far", str(tmp_path / "blocked" / "far"))
    process = done.start("-m", "flows.pipeline", "--push")
    while "Retry 1/3" not in (line := process.stdout.readline()):
        assert line, "it ended before"
    run = run_of_process(client, process.pid)
    cancel(client, run)
    assert finish(process)[0] == 130
    state = state_of(client, run)
    assert (state.name, state.message) == ("Cancelled", "6 up to date")


@pytest.mark.parametrize(("requested", "ends"), [(None, "Crashed"), (Cancelling, "Cancelled")])
def test_killed_run_is_ended_by_the_next(toy, run, client, requested, ends):
    toy.hook("source", LINGER)
    process = toy.start("-m", "flows.pipeline", "--target", "source")
    wait_for(toy.hooks / "source.started")
    lost = run_of_process(client, process.pid)
    process.kill()
    finish(process)
    if requested:
        client.set_flow_run_state(lost.id, requested())
    assert final_state(client, lost) is None
    toy.hook("source", "")
    assert run(targets=["source"])[0].is_completed()
    state = state_of(client, lost)
    assert (state.name, str(process.pid) in state.message) == (ends, True)


@pytest.mark.parametrize("owner", ["elsewhere", "alive", "unknown", "other process"])
def test_only_runs_of_dead_processes_are_ended(client, owner):
    from flows.pipeline import pipeline
    from flows.prefect.runs import _this_process, end_lost_runs

    run = client.create_flow_run(pipeline, state=Running())
    labels = {
        "elsewhere": {"process.host": "elsewhere", "process.pid": 1, "process.began": 1.0},
        "alive": _this_process(),
        "unknown": {},
        "other process": _this_process() | {"process.began": 1.0},  # of the same PID
    }[owner]
    client.update_flow_run_labels(run.id, labels)
    lost = [found.id for found in end_lost_runs("pipeline")]
    if owner == "other process":
        assert lost == [run.id] and state_of(client, run).is_crashed()
    else:
        assert lost == [] and state_of(client, run).is_running()
        client.delete_flow_run(run.id)


def test_run_that_its_server_never_began_is_ended(client, monkeypatch):
    from flows.pipeline import pipeline
    from flows.prefect import runs

    run = client.create_flow_run(pipeline, state=Pending())
    assert run.id not in [found.id for found in runs.end_lost_runs("pipeline")]
    monkeypatch.setattr(runs, "START_SECONDS", 0.0)
    assert run.id in [found.id for found in runs.end_lost_runs("pipeline")]
    state = state_of(client, run)
    assert state.is_crashed() and state.message == "server ended before it began"
