"""The toy project with deployments: processes that run them, and what Prefect's server says."""

import contextlib
import os
import signal
import subprocess
import sys
import time

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

from tests.flows.conftest import Toy
from tests.shrunk import ROOT, change, shipped, write_params

NEVER = "0 0 29 2 *"  # but once in four years
QUICK = {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_WORKER_QUERY_SECONDS": "1"}


def operated(toy: Toy, **operate) -> Toy:
    """A toy project with the shipped settings beside its own, which are in toy.yaml then."""
    os.rename(toy.path / "params.yaml", toy.path / "toy.yaml")
    for name, old, new in (
        ("step.sh", "params.yaml", "toy.yaml"),
        ("dvc.yaml", "params: [", "params: [toy.yaml: ["),
    ):
        lines = (toy.path / name).read_text().splitlines(keepends=True)
        changed = (line.replace(old, new) for line in lines)
        closed = (
            line.replace("]\n", "]]\n") if "toy.yaml: [" in line else line for line in changed
        )
        (toy.path / name).write_text("".join(closed))
    defaults = {"retrain": NEVER, "evaluate": None} | operate
    params = change(shipped(), {f"operate.{key}": value for key, value in defaults.items()})
    write_params(toy.path / "params.yaml", params)
    return toy


@contextlib.contextmanager
def started(toy: Toy, *words: str, **environment: str):
    """A process in the project, ended politely afterwards, and surely."""
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
        finally:  # what goes on would run what later tests ask for
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def eventually(look, seconds: float = 180):
    """What `look` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, look
        time.sleep(0.1)
    return found


def of_process(client, pid: int) -> FlowRun:
    """The run that a process says is its own, not one that this run started."""
    (found,) = (
        run
        for run in client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=20)
        if run.labels.get("process.pid") == pid and run.parent_task_run_id is None
    )
    return found


def cancel(client, run_id) -> None:
    """As the button in Prefect's UI does."""
    client.set_flow_run_state(run_id, Cancelling())


def deployment(client, name: str):
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def ended(client, run):
    """The state in which a run ended; None if it did not yet."""
    state = client.read_flow_run(run.id).state
    return state if state.is_final() else None
