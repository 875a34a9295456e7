"""Flow runs on Prefect's server: the process of each, and their cancellation.

Prefect's runner ends cancelled runs whose process it started; a run that was started from the shell
has to notice by itself. A run whose process was killed stays "Running" until the next run on the
same machine looks for it, or the server misses its heartbeats (flows.prefect.heartbeats).
"""

import contextvars
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event, Thread
from uuid import UUID

import psutil
from httpx import HTTPError
from prefect import Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_logger
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Crashed, Running

from flows.processes.process import Process

POLL_SECONDS = 2.0
START_SECONDS = 600.0  # between "Pending" and "Running": no machine takes that long
PAGE_SIZE = 200  # the server's limit; the next run handles the rest
CANCELLED = "cancelled by a user"
HOST, PID, BEGAN = "process.host", "process.pid", "process.began"  # labels of a run


def label_process() -> None:
    """Label the flow run with this process's host and PID. Call first in every flow.

    Otherwise a run that is killed before cannot be recognised as lost.
    """
    get_client(sync_client=True).update_flow_run_labels(flow_run.id, _this_process())


@contextmanager
def watch_cancellation(stop: Callable[[], None] = lambda: None) -> Iterator[Event]:
    """Watch in a flow whether it is cancelled on the server.

    Yields an event that is set when the run, or the run that started it, is cancelled; then `stop`
    is called once, from another thread. After the body the event is final: the server lets a
    cancelled run end in no other state.

    Lost runs of the same flow are ended first. If this run is marked as crashed while its network
    is down, it marks itself as running again afterwards.
    """
    end_lost_runs(flow_run.flow_name)
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
                with suppress(HTTPError):  # tried again at the next poll
                    back = Running(message="it was unreachable, and is back")
                    client.set_flow_run_state(own, back)

    # Prefect reads the run from the context.
    watcher = Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    watcher.start()
    try:
        yield cancelled
    finally:
        over.set()
        watcher.join()


def pause(first_seconds: float, stopping: Event) -> None:
    """Wait in a task before a retry, each time about twice as long, or until `stopping`.

    Prefect's own wait cannot be interrupted.
    """
    if tries := task_run.run_count - 1:
        stopping.wait(first_seconds * 2 ** (tries - 1) * random.uniform(0.5, 1.5))


def retry_on(error: type[Exception]) -> Callable[[Task, TaskRun, State], bool]:
    """Return a task's condition of retries: that it raised this error."""
    return lambda _task, _run, state: isinstance(state.result(raise_on_failure=False), error)


def end_lost_runs(flow: str) -> list[FlowRun]:
    """End runs of a flow whose process was on this machine and is dead; return them.

    A run that stays "Pending" was to be started by a process that ended before, on any machine.
    """
    client = get_client(sync_client=True)
    active = filters.FlowRunFilterStateType(
        any_=[StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
    )
    found = client.read_flow_runs(
        flow_filter=filters.FlowFilter(name=filters.FlowFilterName(any_=[flow])),
        flow_run_filter=filters.FlowRunFilter(state=filters.FlowRunFilterState(type=active)),
        sort=FlowRunSort.START_TIME_DESC,
        limit=PAGE_SIZE,
    )
    lost = [(run, why) for run in found if (why := _why_lost(run))]
    for run, message in lost:
        state = Cancelled if run.state and run.state.is_cancelling() else Crashed
        client.set_flow_run_state(run.id, state(message=message), force=True)
        get_logger("flows").warning("%s is no longer running: its %s", run.name, message)
    return [run for run, _ in lost]


def _this_process() -> dict[str, str | float]:
    pid = os.getpid()
    return {HOST: socket.gethostname(), PID: pid, BEGAN: psutil.Process(pid).create_time()}


def _why_lost(run: FlowRun) -> str | None:
    """Return how it is known that nothing runs a flow run any more; None if it is not."""
    if run.state and run.state.is_pending():
        waited = (datetime.now(UTC) - run.state.timestamp).total_seconds()
        return "server ended before it began" if waited > START_SECONDS else None
    if run.labels.get(HOST) != socket.gethostname():
        return None
    process = Process(int(run.labels[PID]), float(run.labels[BEGAN]))
    return None if process.runs() else f"process {process.pid} on {socket.gethostname()} was killed"


def _state(client: SyncPrefectClient, run: str) -> State:
    try:
        return client.read_flow_run(UUID(run)).state or Running()
    except HTTPError:  # the server does not answer: the run continues
        return Running()
