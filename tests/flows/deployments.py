"""Deployments of the toy project: processes that run them, and what Prefect's server says."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from tests.flows.toy import Toy
from tests.support.params import ROOT

NEVER = "0 0 29 2 *"  # except once in four years
QUICK = {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_WORKER_QUERY_SECONDS": "1"}


@contextlib.contextmanager
def started(toy: Toy, *words: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Run `python -m …` in the project; at the end it is terminated, and its group killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=toy.path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **QUICK, **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:  # what is left would run what later tests schedule
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_of_process(client: SyncPrefectClient, pid: int) -> FlowRun:
    """Return the run that a process labelled as its own, and that no other run started."""
    (found,) = (
        run
        for run in client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=20)
        if run.labels.get("process.pid") == pid and run.parent_task_run_id is None
    )
    return found


def cancel(client: SyncPrefectClient, run: FlowRun) -> None:
    """Do what the button in Prefect's UI does."""
    client.set_flow_run_state(run.id, Cancelling())


def state_of(client: SyncPrefectClient, run: FlowRun) -> State:
    """Return the state of a run on the server."""
    return client.read_flow_run(run.id).state


def final_state(client: SyncPrefectClient, run: FlowRun) -> State | None:
    """Return the state in which a run ended; None if it has not."""
    state = state_of(client, run)
    return state if state.is_final() else None


def deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    """Return a deployment; None if it does not exist yet."""
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
