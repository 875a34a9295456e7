"""The pipeline as a Prefect flow: one task per stage, independent stages side by side.

python -m flows.pipeline --target train --retries 1
"""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Annotated, Any, cast

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from components.common import command_line
from components.common.errors import InputError, Unavailable, explained
from flows.dvc import remote
from flows.dvc.pages import run_page, stage_page
from flows.dvc.plan import PlannedStage
from flows.dvc.run_lock import run_lock
from flows.dvc.stages import Outcome, StageFailed, Stages
from flows.prefect.artifacts import Progress, show
from flows.prefect.exit_codes import INVALID, UNAVAILABLE, exit_code
from flows.prefect.notify import report
from flows.prefect.runs import label_process, pause, watch_cancellation
from flows.processes.command import Stopped
from flows.run_settings import Change, check_for_run, set_for_run
from flows.settings import PARAMS, read_params

RETRY_SECONDS = 10.0
WAKE_SECONDS = 0.5
SETTINGS = "settings"  # the stage that refuses mistakes in params.yaml


@dataclass(frozen=True)
class RunOptions:
    """How stages are run; see `pipeline`."""

    force: bool
    timeout: float | None
    retries: int
    retry_seconds: float


@task(cache_policy=NO_CACHE)
def run_stage(stages: Stages, planned: PlannedStage, options: RunOptions) -> State[Outcome]:
    """Run a stage as a task: the name of its state says what happened, its message why."""
    logger, name = get_run_logger(), planned.name
    pause(options.retry_seconds, stages.stopping)
    started, before = time.monotonic(), planned.metrics()
    try:
        outcome = stages.run(name, options.force, Progress(name, logger.info), options.timeout)
    except (InputError, StageFailed) as error:
        what = "invalid" if isinstance(error, InputError) else "failed"
        may_pass = getattr(error, "may_pass", False)
        outcome = Outcome(name, what, str(error), time.monotonic() - started, may_pass)
        return Failed(name=what.capitalize(), message=outcome.why, data=outcome)
    logger.info("%s: %s, %s", name, outcome.what, outcome.why)
    if outcome.what != "up to date":
        show(stage_page(planned, outcome, before), "stage", name)
    return Completed(name=outcome.what.capitalize(), message=outcome.why, data=outcome)


# Prefect's form shows a field for a list only if it cannot be null.
# One thread per stage, since a stage that waits for others holds one; Stages enforces `workers`.
@flow(
    name="pipeline",
    task_runner=cast(TaskRunner[Any], ThreadPoolTaskRunner(max_workers=sys.maxsize)),
    on_failure=[report],
    on_crashed=[report],
)
def pipeline(
    targets: Sequence[str] = (),
    force: bool = False,
    retries: Annotated[int, Field(ge=0)] = 0,
    retry_seconds: Annotated[float, Field(gt=0)] = RETRY_SECONDS,
    stage_timeout_seconds: Annotated[float, Field(gt=0)] | None = None,
    workers: Annotated[int, Field(gt=0)] | None = None,
    push: bool = False,
    settings: Sequence[str] = (),
) -> State[list[Outcome]]:
    """Bring `targets` (default: every stage) and what they need up to date.

    A stage that fails stops what depends on it; the others finish. Afterwards `dvc repro` has
    nothing left to do.

    Args:
        targets: names of stages in dvc.yaml.
        force: run every stage even if nothing changed.
        retries: of a stage whose failure may pass: a service that does not answer (exit code 75),
            files or a lock that another DVC process holds.
        retry_seconds: approximate wait before the first retry, doubled for each further one.
        stage_timeout_seconds: time limit of each stage's command.
        workers: stages that run side by side, by default the number of CPUs.
        push: push outputs to DVC's default remote afterwards.
        settings: KEY=VALUE, as train.epochs=3, written to params.yaml first; keys that
            operate.settable lists there.

    Returns:
        A state with the outcomes in the plan's order: Completed, Failed, a failed one named
        "Invalid" after a mistake in configuration or data and "Unavailable" where a retry may
        succeed, or Cancelled.
    """
    label_process()
    try:
        stages = Stages(workers)
        if push:
            remote.check_remote()
        with explained(), watch_cancellation(stages.stop) as cancelled:
            with run_lock(stages.stopping):
                plan = stages.plan(targets)  # first: an unknown stage changes no setting
                changes = _set(settings, stages)
                options = RunOptions(force, stage_timeout_seconds, retries, retry_seconds)
                outcomes = _run(stages, plan, options)
            state = _conclude(outcomes, changes)
            if push and state.is_completed():
                state = _pushed(state, cancelled)
    except InputError as error:
        return Failed(name=INVALID, message=str(error), data=[])
    except Unavailable as error:
        return Failed(name=UNAVAILABLE, message=str(error), data=[])
    if cancelled.is_set():  # the server accepts no other state then
        return Cancelled(message=state.message, data=outcomes)
    return state


def _set(settings: Sequence[str], stages: Stages) -> list[Change]:
    """Write settings to params.yaml, unless the run was cancelled; return what changed."""
    return set_for_run(PARAMS, settings) if settings and not stages.stopping.is_set() else []


def _run(stages: Stages, plan: list[PlannedStage], options: RunOptions) -> list[Outcome]:
    """Run each stage as a task that waits for those it needs; return their outcomes."""

    def worth_retrying(_task: Task, _run: TaskRun, state: State) -> bool:
        outcome = state.result(raise_on_failure=False)
        return getattr(outcome, "may_pass", False) and not stages.stopping.is_set()

    futures: dict[str, PrefectFuture] = {}
    try:
        for planned in plan:
            stage_task = run_stage.with_options(
                name=planned.name,
                task_run_name=planned.name,
                retries=options.retries,
                retry_condition_fn=worth_retrying,
            )
            upstream = [futures[name] for name in planned.upstream]
            futures[planned.name] = stage_task.submit(
                stages, planned, options, return_state=False, wait_for=upstream
            )
        _wait(futures.values())
    finally:
        stages.stop()
    return [_outcome(planned, futures) for planned in plan]


def _wait(futures: Iterable[PrefectFuture]) -> None:
    """Wait until all are done, waking up now and then.

    Python handles signals in the main thread only, and an unlimited wait there misses a signal that
    came just before it began, or that the kernel gave to another thread.
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
    return Outcome(planned.name, "failed", state.message or repr(result))  # a fault of this project


def _conclude(outcomes: list[Outcome], changes: Sequence[Change]) -> State[list[Outcome]]:
    get_run_logger().info("Stages:\n%s", table(outcomes))
    show(run_page(outcomes, changes), "stages")
    found = [outcome.what for outcome in outcomes]
    message = ", ".join(f"{found.count(what)} {what}" for what in dict.fromkeys(found))
    if "invalid" in found:
        return Failed(name=INVALID, message=message, data=outcomes)
    if failed := [outcome for outcome in outcomes if outcome.what == "failed"]:
        name = UNAVAILABLE if all(outcome.may_pass for outcome in failed) else None
        return Failed(name=name, message=message, data=outcomes)
    return Completed(message=message, data=outcomes)


def _pushed(state: State[list[Outcome]], cancelled: Event) -> State[list[Outcome]]:
    try:
        message = f"{state.message}; {remote.push(cancelled)}"
    except Stopped:
        return state
    except remote.DvcFailed as error:
        return Failed(name=UNAVAILABLE, message=f"{state.message}; {error}", data=state.data)
    return Completed(message=message, data=state.data)


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes as aligned text: stage, what happened, seconds, why."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    return "\n".join(
        f"  {outcome.name:<{width}}  {outcome.what:<11}  {outcome.seconds:8.1f} s  {outcome.why}"
        for outcome in outcomes
    )


def main(argv: list[str] | None = None) -> int:
    """Run the pipeline from the shell; see `exit_code`."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        dest="targets",
        metavar="STAGE",
        help="may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="run even if nothing changed")
    parser.add_argument("--retries", type=int, default=0, help="after failures that may pass (0)")
    parser.add_argument(
        "--retry-seconds",
        type=float,
        default=RETRY_SECONDS,
        metavar="SECONDS",
        help=f"before the first retry, then doubled ({RETRY_SECONDS:g})",
    )
    parser.add_argument("--workers", type=int, help="stages side by side (default: CPUs)")
    parser.add_argument(
        "--push", action="store_true", help="push to DVC's default remote afterwards"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        dest="stage_timeout_seconds",
        metavar="SECONDS",
        help="time limit of each stage",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="set a value in params.yaml that operate.settable lists there, as train.epochs=3; "
        "may be repeated",
    )
    args = parser.parse_args(argv)
    if args.retries < 0 or any(
        limit is not None and not limit > 0  # NaN is neither
        for limit in (args.workers, args.stage_timeout_seconds, args.retry_seconds)
    ):
        parser.error("--retries must not be negative; all other numbers must be positive")

    def check() -> None:
        read_params()
        if args.settings:
            check_for_run(PARAMS, args.settings)
        plan = Stages().plan(args.targets)
        if not args.settings and any(planned.name == SETTINGS for planned in plan):
            from flows.check import check_known  # whose import takes half a second

            check_known(PARAMS)

    return exit_code(pipeline, check, print_state=False, **vars(args))


if __name__ == "__main__":
    sys.exit(main())
