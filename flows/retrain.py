"""Retraining as a Prefect flow: fetch new data, learn from it, let the gates decide.

python -m flows.retrain
"""

import sys
from pathlib import Path
from threading import Event

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Cancelled, Completed, Failed

from components.common.errors import InputError, Unavailable
from components.config.load import load_settings
from components.config.operate import OperateSettings
from components.config.settings import Settings
from flows import artifacts, drop, remote
from flows.branch import Branch
from flows.command import Stopped
from flows.gates import number
from flows.notify import report
from flows.pipeline import pipeline
from flows.promote import Decision, Desk, promote
from flows.promotions import TAG, Overtaken, now
from flows.runs import CANCELLED, attended, note_process
from flows.shell import INVALID, exit_code
from flows.stages import Stages
from flows.turn import turn
from flows.warm import start_from_champion

PARAMS = Path("params.yaml")
NOTHING = "Nothing new"  # the state's name after a run that found nothing to do
AGAIN = 2  # tries to judge a model if others promote at the same time


@flow(name="retrain", on_failure=[report], on_crashed=[report])
def retrain() -> State[Decision | None]:
    """Fetch new data; if there is any, bring the pipeline up to date and judge the new model.

    What it does with data and results is said in the section `operate` of params.yaml. An earlier
    run that was killed is gone on with.

    Returns:
        A completed state, named "Promoted", "Passed" (a person is to decide), "Refused" or
        "Nothing new"; or a failed one, named "Invalid" after a mistake in configuration or data.
    """
    note_process()
    with attended() as cancelled:
        state = _tried(cancelled)
    return Cancelled(message=state.message) if cancelled.is_set() else state


def _tried(cancelled: Event) -> State:
    try:
        settings = load_settings(PARAMS)
        with turn(cancelled):
            return _retrain(settings, settings.operate, cancelled)
    except Stopped:
        return Cancelled(message=CANCELLED)
    except InputError as error:
        return Failed(name=INVALID, message=str(error))
    except (Unavailable, remote.DvcFailed) as error:
        return Failed(message=str(error))


def _retrain(settings: Settings, options: OperateSettings, cancelled: Event) -> State:
    if cancelled.is_set():
        raise Stopped
    branch = Branch(options.commit) if options.commit else None
    if branch:
        branch.check()
    if options.push:
        remote.check_remote()
    fetch(settings, cancelled)
    if new := changed():
        if options.warm_start:
            warm_start(cancelled)
        state = pipeline(**patience(settings), return_state=True)
        if not state.is_completed():
            ended = Cancelled if state.is_cancelled() else Failed
            return ended(name=state.name, message=f"pipeline: {state.message}")
    if cancelled.is_set():
        raise Stopped
    ask = options.promote == "ask"
    decision = judge(ask, cancelled) if new or undecided() else None
    said = verdict(decision, ask) if decision else "nothing changed since the last run"
    # Also where nothing is new, since the run before may have ended early.
    if branch and (made := branch.commit(f"Retrained: {said}")):
        said += f"; commit {made[:8]} on branch {options.commit}"
    if options.push:
        said += f"; {remote.push(cancelled)}"
    return Completed(name=outcome(decision, ask), message=said, data=decision)


def patience(settings: Settings) -> dict[str, float | None]:
    """How patient the pipeline is: its parameters."""
    hours = settings.operate.stage_hours
    return {
        "retries": settings.operate.retries,
        "stage_timeout_seconds": None if hours is None else 3600 * hours,
    }


def fetch(settings: Settings, cancelled: Event) -> None:
    """Get new data from where params.yaml says."""
    root = Path(settings.ingest.root)
    if settings.operate.fetch == "dvc":
        remote.fetch(root, cancelled)
    elif settings.operate.fetch == "drop":
        moved = drop.collect(Path(settings.operate.drop), root)
        logger = get_run_logger()
        logger.info("%d files moved from %s to %s", len(moved), settings.operate.drop, root)


def changed() -> bool:
    """Whether any stage has to run."""
    stages = Stages()
    reasons = {planned.name: stages.why(planned.name) for planned in stages.plan()}
    for name, why in reasons.items():
        if why:
            get_run_logger().info("%s: %s", name, why)
    return any(reasons.values())


def warm_start(cancelled: Event) -> None:
    """Let training start from the champion, if there is one."""
    version = start_from_champion(Desk(cancelled), PARAMS)
    start = f"version {version}, the champion" if version else "fresh weights: there is no champion"
    get_run_logger().info("training starts from %s", start)


def undecided() -> bool:
    """Whether a challenger waits that no gate was ever asked about, as its run was killed."""
    desk = Desk()
    try:
        challenger = desk.version(None)
    except InputError:  # there is none
        return False
    return TAG not in challenger.tags and str(challenger.version) != desk.log.champion()


def _overtaken(_task: Task, _run: TaskRun, state: State) -> bool:
    return isinstance(state.result(raise_on_failure=False), Overtaken)


@task(retries=AGAIN, retry_condition_fn=_overtaken, cache_policy=NO_CACHE)
def judge(ask: bool, cancelled: Event) -> Decision:
    """Compare the challenger with the champion, promote it if the gates let it through, record it.

    Args:
        ask: leave the promotion to a person.
        cancelled: ends it.

    Raises:
        Stopped: `cancelled` was set before there was a decision.
    """
    if ask:
        log = Desk().log
        log.note_moves()
        decision = promote(dry=True, stopping=cancelled)
        if decision.gates:
            passes = "waits for a person since" if decision.promoted else "refused"
            log.tag(decision.version, f"{passes} {now()}")
    else:
        decision = promote(why="retrained", stopping=cancelled)
    artifacts.show(decision_page(decision, ask), "decision")
    return decision


def outcome(decision: Decision | None, ask: bool) -> str:
    """The name of the run's state."""
    if decision is None or not decision.gates:
        return NOTHING
    if not decision.promoted:
        return "Refused"
    return "Passed" if ask else "Promoted"


def verdict(decision: Decision, ask: bool) -> str:
    """What came of a model, in a sentence."""
    version, before = f"version {decision.version}", decision.champion
    if not decision.gates:
        return f"{version} is the champion already"
    if refusals := decision.refusals:
        names = ", ".join(gate.name for gate in refusals)
        return f"{version} is refused by {len(refusals)} of {len(decision.gates)} gates: {names}"
    if ask:
        return f"{version} passes; promote it: python -m flows.promote --version {decision.version}"
    return f"{version} is the champion, {f'instead of {before}' if before else 'the first one'}"


def decision_page(decision: Decision, ask: bool) -> str:
    """What the gates said, as Markdown."""
    rows = [
        (
            "pass" if gate.passed else "**fail**",
            gate.name,
            *(number(value) for value in (gate.found, gate.champion)),
            gate.bound,
            number(gate.p),
        )
        for gate in decision.gates
    ]
    header = ("", "gate", "challenger", "champion", "bound", "p")
    return "\n\n".join(
        [f"{verdict(decision, ask)}.", *([artifacts.table(header, rows)] if rows else [])]
    )


def main() -> int:
    """Retrain now, from the shell; see `exit_code`."""

    def run() -> State:
        state = retrain(return_state=True)
        print(f"{state.name}: {state.message}")
        return state

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
