"""Deployments: served by one process, or run by a worker of a pool."""

import signal

import pytest

from flows.prefect.heartbeats import NAME
from tests.flows.deployments import NEVER, cancel, deployment, final_state, started, state_of
from tests.flows.toy import LINGER, Toy, eventually, wait_for
from tests.support.params import ROOT, change, shipped, write_params
from tests.support.process import assert_refused, run_python

LIMITS = {"retries": 1, "stage_timeout_seconds": 86400, "push": False}  # as shipped


@pytest.fixture
def project(new_toy, template) -> Toy:
    """A toy project with the shipped settings, which is not the working directory."""
    made = new_toy(template, "served")
    made.use_shipped_settings(retrain=NEVER)
    return made


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # a temporary server has none
def test_process_serves_requested_and_scheduled_runs(project, client):
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterDeploymentId,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.schedules import IntervalSchedule

    with started(project, "flows.serve", TOY_HOOKS=str(project.hooks)):
        found = eventually(lambda: deployment(client, "evaluate/evaluate"))
        assert found.schedules == []
        retraining = deployment(client, "retrain/retrain")
        assert [one.schedule.cron for one in retraining.schedules] == [NEVER]

        served = deployment(client, "pipeline/pipeline")
        assert served.parameters == LIMITS
        assert len(client.read_automations_by_name(NAME)) == 1
        requested = client.create_flow_run_from_deployment(served.id, parameters={"retries": 0})
        assert eventually(lambda: final_state(client, requested)).name == "Completed"
        assert project.dvc("status", "-q") == ""

        client.create_deployment_schedules(served.id, [(IntervalSchedule(interval=5), True)])
        client.resume_deployment(served.id)  # one that was edited is scheduled at once
        completed = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[served.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])),
        )

        def due():
            runs = client.read_flow_runs(flow_run_filter=completed, sort="START_TIME_DESC")
            return [run for run in runs if run.auto_scheduled]

        assert eventually(due)[0].state.message == "6 up to date"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("started_run", [False, True])
def test_signal_ends_server_and_its_run(project, client, stop, started_run):
    """Also while the run is being started."""
    project.hook("source", LINGER)
    with started(project, "flows.serve", TOY_HOOKS=str(project.hooks)) as server:
        served = eventually(lambda: deployment(client, "pipeline/pipeline"))
        eventually(lambda: deployment(client, "evaluate/evaluate"))
        requested = client.create_flow_run_from_deployment(served.id)
        if started_run:
            wait_for(project.hooks / "source.started")
        else:
            eventually(lambda: not state_of(client, requested).is_scheduled())
        server.send_signal(stop)
        assert server.wait(60) == 0
        project.assert_none_alive()
        assert client.read_deployment(served.id).paused


def test_second_of_two_retrainings_is_cancelled(project, client):
    project.hook("source", "wait_for go; exit 2")
    with started(project, "flows.serve", TOY_HOOKS=str(project.hooks)):
        eventually(lambda: deployment(client, "evaluate/evaluate"))
        served = deployment(client, "retrain/retrain")
        first = client.create_flow_run_from_deployment(served.id)
        eventually((project.hooks / "source.started").exists)
        second = client.create_flow_run_from_deployment(served.id)
        assert eventually(lambda: final_state(client, second)).is_cancelled()
        (project.hooks / "go").touch()
        state = eventually(lambda: final_state(client, first))
        assert (state.name, state.message.split(":")[0]) == ("Invalid", "pipeline")


def test_worker_runs_deployments_of_prefect_yaml(project, client):
    """With the crons and time limits of params.yaml; a cancelled run ends."""
    from prefect.client.schemas.actions import WorkPoolCreate

    crons = {"operate.retrain": "7 3 * * 1", "operate.evaluate": None}
    params = change(shipped(), crons | {"operate.stage_hours": 0.5})
    write_params(project.path / "params.yaml", params)
    (project.path / "prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    client.create_work_pool(WorkPoolCreate(name="synesthesia", type="process"), overwrite=True)
    words = ("prefect", "--no-prompt", "deploy", "--all")
    done = run_python("-m", *words, cwd=project.path)
    assert done.returncode == 0, done.stdout + done.stderr

    (due,) = deployment(client, "retrain/retrain").schedules
    assert (due.schedule.cron, due.schedule.timezone, due.active) == ("7 3 * * 1", "UTC", True)
    assert not any(one.active for one in deployment(client, "evaluate/evaluate").schedules)
    assert deployment(client, "retrain/retrain").concurrency_options.collision_strategy == (
        "CANCEL_NEW"
    )
    served = deployment(client, "pipeline/pipeline")
    assert served.parameters == LIMITS | {"stage_timeout_seconds": 1800}
    assert served.job_variables == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert len(client.read_automations_by_name(NAME)) == 1
    project.hook("source", LINGER)
    cancelled = client.create_flow_run_from_deployment(served.id, parameters={"retries": 3})
    words = ("prefect", "worker", "start", "--pool", "synesthesia")
    with started(project, *words, TOY_HOOKS=str(project.hooks)):
        wait_for(project.hooks / "source.started")
        assert project.processes("step.sh source", "sleep")
        cancel(client, cancelled)
        assert eventually(lambda: final_state(client, cancelled)).name == "Cancelled"
        eventually(lambda: not project.processes("step.sh source", "sleep"))
        assert "source" in (ran := project.ran()) and len(ran) == len(set(ran))

        project.hook("source", "")
        run = client.create_flow_run_from_deployment(served.id)
        assert eventually(lambda: final_state(client, run)).name == "Completed"
    assert project.dvc("status", "-q") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "PREFECT_API_URL is not set"),
        ("http://127.0.0.1:9/api", "no Prefect server answers at http://127.0.0.1:9/api"),
    ],
)
def test_missing_server_says_how_to_start_one(project, url, message):
    done = run_python("-m", "flows.serve", cwd=project.path, PREFECT_API_URL=url)
    assert_refused(done, message)
    assert "make services" in done.stderr


def test_missing_block_is_named(project, prefect_api):
    params = change(shipped(), {"operate.notify": "slack-webhook/nobody"})
    write_params(project.path / "params.yaml", params)
    done = run_python("-m", "flows.serve", cwd=project.path)
    assert_refused(done, "operate.notify: Prefect has no block 'slack-webhook/nobody'")
