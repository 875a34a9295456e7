"""Runs whose machine is lost: Prefect's server ends them, whatever else runs."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from prefect.automations import AutomationCore
from prefect.states import Cancelling

from flows.heartbeats import watch
from tests.flows.conftest import finish, wait_for
from tests.flows.serving import eventually
from tests.shrunk import ROOT

# A temporary server on SQLite runs no automations.
pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

SILENCE_SECONDS = 20  # more than it takes to see a heartbeat, less than until the next one
RUN = """\
import sys
from flows.pipeline import pipeline
pipeline.with_options(name=sys.argv[1], flow_run_name=sys.argv[2])(targets=sys.argv[3:])
"""


@pytest.fixture
def name(client) -> str:
    """Of a flow and its automation, since the server is others' too."""
    made = f"lost-{uuid4().hex[:8]}"
    yield made
    for automation in client.read_automations_by_name(made):
        client.delete_automation(automation.id)


@pytest.fixture
def begin(name, new_toy, template, client):
    """Begin a run of the flow in a process and a project of its own: `begin("run", "stage")`."""
    begun = []

    def call(run: str, target: str):
        toy = new_toy(template, run)
        toy.hook("source", "wait_for go")
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, name, run, target],
            cwd=toy.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TOY_HOOKS": str(toy.hooks)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return toy, process

    yield call
    for process in begun:
        process.kill()
        finish(process)


def ids(client, flow: str) -> dict:
    """Runs of a flow that showed that they live: name → id."""
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "related": {"labels": {"prefect.resource.name": [flow]}},
    }
    events = client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
    resources = [event["resource"] for event in events]
    return {
        found["prefect.resource.name"]: found["prefect.resource.id"].removeprefix(
            "prefect.flow-run."
        )
        for found in resources
    }


def test_a_run_that_is_lost_crashes_and_one_that_comes_back_goes_on(client, name, begin):
    watch(client, [name], name, SILENCE_SECONDS)
    _, over = begin("over", "nothing")
    _, lost = begin("lost", "source")
    _, cancelling = begin("cancelling", "source")
    toy, away = begin("away", "source")
    runs = eventually(lambda: len(found := ids(client, name)) == 4 and found)

    def state(run: str):
        return client.read_flow_run(runs[run]).state

    finish(over)
    wait_for(toy.hooks / "source.started")
    assert state("lost").is_running() and state("away").is_running()
    lost.kill()
    cancelling.kill()
    client.set_flow_run_state(runs["cancelling"], Cancelling())
    away.send_signal(signal.SIGSTOP)

    eventually(lambda: state("lost").is_crashed() and state("away").is_crashed())
    assert f"no heartbeat for {SILENCE_SECONDS} s" in state("lost").message
    assert state("over").name == "Invalid"
    assert state("cancelling").is_cancelling()

    away.send_signal(signal.SIGCONT)
    eventually(lambda: state("away").is_running())
    (toy.hooks / "go").touch()
    assert finish(away)[0] == 0
    assert state("away").is_completed()


def test_of_automations_made_at_the_same_time_one_is_left(client, name):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: watch(client, ["any"], name), range(4)))
    assert len(client.read_automations_by_name(name)) == 1


def test_an_automation_that_a_person_changed_is_left_as_it_is(client, name):
    watch(client, ["any"], name)
    (made,) = client.read_automations_by_name(name)
    made.trigger.within = timedelta(hours=1)
    changed = AutomationCore(**made.model_dump(exclude={"id", "owner_resource"}))
    client.update_automation(made.id, changed)
    client.pause_automation(made.id)
    (changed,) = client.read_automations_by_name(name)
    assert (changed.trigger.within, changed.enabled) == (timedelta(hours=1), False)
    watch(client, ["any"], name)
    assert client.read_automations_by_name(name) == [changed]
