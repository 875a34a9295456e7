"""Runs whose machine is lost are ended by Prefect's server, even if nothing else runs."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from subprocess import Popen
from uuid import uuid4

import pytest
from prefect.automations import AutomationCore
from prefect.states import Cancelling

from flows.prefect.heartbeats import watch
from tests.flows.toy import Toy, eventually, finish, wait_for

# A temporary server on SQLite runs no automations.
pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

SILENCE_SECONDS = 20  # more than it takes to see a heartbeat, less than until the next one
RUN = """\
import sys
from flows.pipeline import pipeline
pipeline.with_options(name=sys.argv[1], flow_run_name=sys.argv[2])(targets=sys.argv[3:])
"""


@pytest.fixture
def name(client) -> Iterator[str]:
    """The name of a flow and its automation, which no other test uses."""
    made = f"lost-{uuid4().hex[:8]}"
    yield made
    for automation in client.read_automations_by_name(made):
        client.delete_automation(automation.id)


@pytest.fixture
def begin(name, new_toy, template, client) -> Iterator[Callable[[str, str], tuple[Toy, Popen]]]:
    """Start a run of the flow in another process and project: `begin("run", "stage")`."""
    begun = []

    def call(run: str, target: str) -> tuple[Toy, Popen]:
        toy = new_toy(template, run)
        toy.hook("source", "wait_for go")
        begun.append(toy.start("-c", RUN, name, run, target))
        return toy, begun[-1]

    yield call
    for process in begun:
        process.kill()
        finish(process)


def runs_with_heartbeat(client, flow: str) -> dict[str, str]:
    """Return run name → id of the runs of a flow that sent a heartbeat."""
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


def test_lost_run_crashes_and_one_that_returns_continues(client, name, begin):
    watch(client, [name], name, SILENCE_SECONDS)
    _, over = begin("over", "nothing")
    _, lost = begin("lost", "source")
    _, cancelling = begin("cancelling", "source")
    toy, away = begin("away", "source")
    runs = eventually(lambda: len(found := runs_with_heartbeat(client, name)) == 4 and found)

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


def test_one_of_concurrent_automations_is_left(client, name):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: watch(client, ["any"], name), range(4)))
    assert len(client.read_automations_by_name(name)) == 1


def test_edited_automation_is_kept(client, name):
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
