"""The pipeline as a Prefect flow: one task a stage, independent stages side by side.

python -m flows.pipeline --target train --retries 1
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated, Any

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from components.common.errors import InputError
from flows import remote
from flows.artifacts import Progress, run_page, show, stage_page
from flows.command import Stopped
from flows.notify import report
from flows.override import overridden, override, parsed
from flows.plan import PlannedStage
from flows.runs import attended, note_process, pause
from flows.shell import INVALID, exit_code
from flows.stages import Outcome, StageFailed, Stages
from flows.turn import turn

PARAMS = Path("params.yaml")
RETRY_SECONDS = 10.0
WAKE_SECONDS = 0.5


@dataclass(frozen=True)
class How:
    """How stages are run.

    Attributes:
        force: though nothing changed.
        timeout: limit of a command in seconds.
        retries: tries after a failure that may pass.
        retry_seconds: about how long the first of them is waited for, each further one twice that.
    """

    force: bool
    timeout: float | None
    retries: int
    retry_seconds: float


@task(cache_policy=NO_CACHE)
def run_stage(stages: Stages, planned: PlannedStage, how: How) -> State[Outcome]:
    """One stage as a task: the state's name says what happened, its message says why."""
    logger, name = get_run_logger(), planned.name
    pause(how.retry_seconds, stages.stopping)
    started, before = time.monotonic(), planned.metrics()
    try:
        outcome = stages.run(name, how.force, Progress(name, logger.info), how.timeout)
    except (InputError, StageFailed) as error:
        what = "invalid" if isinstance(error, InputError) else "failed"
        may_pass = getattr(error, "may_pass", False)
        outcome = Outcome(name, what, str(error), time.monotonic() - started, may_pass)
        return Failed(name=what.capitalize(), message=outcome.why, data=outcome)
    logger.info("%s: %s, %s", name, outcome.what, outcome.why)
    if outcome.what != "up to date":
        show(stage_page(planned, outcome, before), "stage", name)
    return Completed(name=outcome.what.capitalize(), message=outcome.why, data=outcome)


# A thread for each stage, as a stage that waits for others holds one: `workers` is kept by Stages.
@flow(
    name="pipeline",
    task_runner=ThreadPoolTaskRunner(max_workers=sys.maxsize),
    on_failure=[report],
    on_crashed=[report],
)
def pipeline(
    targets: list[str] | None = None,
    force: bool = False,
    retries: Annotated[int, Field(ge=0)] = 0,
    retry_seconds: Annotated[float, Field(gt=0)] = RETRY_SECONDS,
    stage_timeout_seconds: Annotated[float, Field(gt=0)] | None = None,
    workers: Annotated[int, Field(gt=0)] | None = None,
    push: bool = False,
    settings: dict[str, Any] | None = None,
) -> State[list[Outcome]]:
    """Bring `targets` (default: every stage) and what they need up to date.

    A stage that fails stops what depends on it; the others finish. Afterwards `dvc repro` has
    nothing left to do.

    Args:
        targets: stages, as `dvc repro` takes them.
        force: run every stage, though nothing changed.
        retries: how often a stage is tried again whose failure may pass by itself: a service that
            does not answer (exit code 75), files or a lock that another DVC process has.
        retry_seconds: about how long it waits before that; twice as long each further time.
        stage_timeout_seconds: time limit of each stage's command.
        workers: stages that run side by side; the number of CPUs if None.
        push: afterwards push what they made to DVC's default remote.
        settings: values that are written to params.yaml first, by dotted key: {"train.epochs": 3}.

    Returns:
        A state with the outcomes in the plan's order: Completed, Failed, a failed one named
        "Invalid" after a mistake in configuration or data, or Cancelled.
    """
    note_process()
    try:
        stages = Stages(workers)
        if push:
            remote.check_remote()
        with attended(stages.stop) as cancelled:
            with turn(stages.stopping):
                if settings:
                    override(PARAMS, settings)
                plan = stages.plan(targets or [])
                how = How(force, stage_timeout_seconds, retries, retry_seconds)
                outcomes = _run(stages, plan, how)
            state = _conclude(outcomes)
            if push and state.is_completed():
                state = _pushed(state, cancelled)
    except InputError as error:
        return Failed(name=INVALID, message=str(error), data=[])
    if cancelled.is_set():  # the server takes no other state then
        return Cancelled(message=state.message, data=outcomes)
    return state


def _run(stages: Stages, plan: list[PlannedStage], how: How) -> list[Outcome]:
    """Each stage as a task that waits for those it needs; what became of each."""

    def worth_retrying(_task: Task, _run: TaskRun, state: State) -> bool:
        outcome = state.result(raise_on_failure=False)
        return getattr(outcome, "may_pass", False) and not stages.stopping.is_set()

    futures: dict[str, PrefectFuture] = {}
    try:
        for planned in plan:
            stage_task = run_stage.with_options(
                name=planned.name,
                task_run_name=planned.name,
                retries=how.retries,
                retry_condition_fn=worth_retrying,
            )
            upstream = [futures[name] for name in planned.upstream]
            futures[planned.name] = stage_task.submit(stages, planned, how, wait_for=upstream)
        _wait(futures.values())
    finally:
        stages.stop()
    return [_outcome(planned, futures) for planned in plan]


def _wait(futures: Iterable[PrefectFuture]) -> None:
    """Wait until all are done, awake now and then.

    Python acts on a signal in the main thread only, and a wait without limit there sleeps through
    one that came just before it began, or that the kernel gave to another thread.
    """
    for future in futures:
        done = Event()
        future.add_done_callback(lambda _, done=done: done.set())
        while not done.wait(WAKE_SECONDS):
            pass
        future.wait()


def _outcome(planned: PlannedStage, futures: dict[str, PrefectFuture]) -> Outcome:
    state = futures[planned.name].state
    if state.is_pending():
        missing = [name for name in planned.upstream if not futures[name].state.is_completed()]
        return Outcome(planned.name, "not started", f"needs {', '.join(missing)}")
    result = state.result(raise_on_failure=False)
    if isinstance(result, Outcome):
        return result
    return Outcome(planned.name, "failed", state.message or repr(result))  # a fault of ours


def _conclude(outcomes: list[Outcome]) -> State[list[Outcome]]:
    get_run_logger().info("Stages:\n%s", table(outcomes))
    show(run_page(outcomes), "stages")
    found = [outcome.what for outcome in outcomes]
    message = ", ".join(f"{found.count(what)} {what}" for what in dict.fromkeys(found))
    if "invalid" in found:
        return Failed(name=INVALID, message=message, data=outcomes)
    if "failed" in found:
        return Failed(message=message, data=outcomes)
    return Completed(message=message, data=outcomes)


def _pushed(state: State[list[Outcome]], cancelled: Event) -> State[list[Outcome]]:
    try:
        message = f"{state.message}; {remote.push(cancelled)}"
    except Stopped:
        return state
    except remote.DvcFailed as error:
        return Failed(message=f"{state.message}; {error}", data=state.data)
    return Completed(message=message, data=state.data)


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as aligned text: stage, what happened, seconds, why."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    return "\n".join(
        f"  {outcome.name:<{width}}  {outcome.what:<11}  {outcome.seconds:8.1f} s  {outcome.why}"
        for outcome in outcomes
    )


def main(argv: list[str] | None = None) -> int:
    """Run the pipeline from the shell; see `exit_code`."""
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=__doc__)
    parser.add_argument("--target", action="append", metavar="STAGE", help="may be repeated")
    parser.add_argument("--force", action="store_true", help="run though nothing changed")
    parser.add_argument("--retries", type=int, default=0, help="tries after what may pass (0)")
    parser.add_argument(
        "--retry-seconds",
        type=float,
        default=RETRY_SECONDS,
        metavar="SECONDS",
        help=f"before the first of them, about; twice as long each time ({RETRY_SECONDS:g})",
    )
    parser.add_argument("--workers", type=int, help="stages side by side (default: CPUs)")
    parser.add_argument("--push", action="store_true", help="then push to DVC's default remote")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="limit of each stage")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value in params.yaml, as train.epochs=3; may be repeated",
    )
    args = parser.parse_args(argv)
    if args.retries < 0 or any(
        limit is not None and limit <= 0
        for limit in (args.workers, args.timeout, args.retry_seconds)
    ):
        parser.error("--retries must not be negative; all other numbers must be positive")

    def run() -> State:
        return pipeline(
            targets=args.target,
            force=args.force,
            retries=args.retries,
            retry_seconds=args.retry_seconds,
            stage_timeout_seconds=args.timeout,
            workers=args.workers,
            push=args.push,
            settings=settings,
            return_state=True,
        )

    try:  # a typing mistake shows before a server starts
        settings = parsed(args.set)
        if settings:
            overridden(PARAMS, settings)
        Stages().plan(args.target or [])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
