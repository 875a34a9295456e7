"""Runs of a flow as Prefect's server knows them: whose process each is, and when it must end.

Prefect's runner ends a run that is cancelled if it started its process; a run that was started from
the shell has to see by itself that it is. And a process that was killed cannot say so: its run
stays "Running", until the next one on the same machine looks for it, or the server misses its
heartbeats (flows.heartbeats).
"""

import contextvars
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psutil
from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_logger
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Crashed, Running

from flows.services.processes import Process

POLL_SECONDS = 2.0
PAGE = 200  # the most that the server gives at once; the rest is for the next run
CANCELLED = "somebody cancelled it"
HOST, PID, BEGAN = "process.host", "process.pid", "process.began"  # labels of a run


def note_process() -> None:
    """First of all in a flow: note on the server whose process this run is.

    Nobody can tell of a run that was killed before that.
    """
    get_client(sync_client=True).update_flow_run_labels(flow_run.id, _this_process())


@contextmanager
def attended(stop: Callable[[], None] = lambda: None) -> Iterator[Event]:
    """In a flow: heed its being cancelled on the server.

    First the runs of the same flow that were lost are ended. If this one is taken for lost while
    its network or its machine is away, it says that it is not once it is back.

    Args:
        stop: called once, from another thread, when the run is to end.

    Yields:
        What is set when the run, or the one that it is a part of, is cancelled. Once the body is
        over it is certain: the server lets a run that is cancelled end in no other state.
    """
    end_lost(flow_run.flow_name)
    client = get_client(sync_client=True)
    own = flow_run.id
    cancelled, over = Event(), Event()

    def watch() -> None:
        runs, last = {own, flow_run.root_flow_run_id}, False
        while not last:
            last = over.wait(POLL_SECONDS)
            states = {run: _state(client, run) for run in runs}
            if any(state.is_cancelling() or state.is_cancelled() for state in states.values()):
                cancelled.set()
                stop()
                return
            if states[own].is_crashed():
                with suppress(HTTPError):  # the next look tries again
                    back = Running(message="it was taken for lost, and is back")
                    client.set_flow_run_state(own, back)

    # Prefect finds the run in the context.
    watcher = Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    watcher.start()
    try:
        yield cancelled
    finally:
        over.set()
        watcher.join()


def pause(first_seconds: float, stopping: Event) -> None:
    """In a task: wait before another try, each time about twice as long, or until `stopping`.

    Nothing would end Prefect's own wait.
    """
    if tries := task_run.run_count - 1:
        stopping.wait(first_seconds * 2 ** (tries - 1) * random.uniform(0.5, 1.5))


def end_lost(flow: str) -> list[FlowRun]:
    """End runs of a flow whose process was on this machine and is gone, on the server too.

    Returns:
        The runs that were lost: Cancelled now if they were being cancelled, else Crashed.
    """
    client = get_client(sync_client=True)
    going_on = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=going_on)),
        sort=FlowRunSort.START_TIME_DESC,
        limit=PAGE,
    )
    lost = [run for run in found if _is_lost(run)]
    for run in lost:
        message = f"process {run.labels[PID]} on {run.labels[HOST]} was killed"
        state = Cancelled if run.state.is_cancelling() else Crashed
        client.set_flow_run_state(run.id, state(message=message), force=True)
        get_logger("flows").warning("%s is not running any more: its %s", run.name, message)
    return lost


def _this_process() -> dict[str, str | float]:
    pid = os.getpid()
    return {HOST: socket.gethostname(), PID: pid, BEGAN: psutil.Process(pid).create_time()}


def _is_lost(run: FlowRun) -> bool:
    here = run.labels.get(HOST) == socket.gethostname()
    return here and not Process(run.labels[PID], run.labels[BEGAN]).runs()


def _state(client: SyncPrefectClient, run: str) -> State:
    try:
        return client.read_flow_run(run).state
    except HTTPError:  # a server that is away: the run goes on
        return Running()
