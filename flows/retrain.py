"""Retraining as a Prefect flow: fetch new data, train, and let the gates decide.

python -m flows.retrain
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from components.common import command_line
from components.common.errors import InputError, Unavailable, explained
from components.registry.tracking import connect, mlflow_errors
from flows.dvc import remote
from flows.dvc.run_lock import run_lock
from flows.dvc.stages import Stages
from flows.pipeline import pipeline
from flows.prefect import artifacts
from flows.prefect.exit_codes import INVALID, UNAVAILABLE, exit_code
from flows.prefect.notify import report
from flows.prefect.runs import CANCELLED, label_process, retry_on, watch_cancellation
from flows.processes.command import Stopped
from flows.promotion.gates import format_number
from flows.promotion.log import TAG, Overtaken, now
from flows.promotion.promotion import Decision, promote
from flows.promotion.registered_model import RegisteredModel
from flows.retraining import drop_folder
from flows.retraining.git_commit import Branch
from flows.retraining.warm_start import start_from_champion
from flows.settings import PARAMS, FlowSettings, flow_settings


@flow(name="retrain", on_failure=[report], on_crashed=[report])
def retrain() -> State[Decision | None]:
    """Fetch new data; if there is any, run the pipeline and judge the new model.

    The section `operate` of params.yaml says what happens to data and results. A run that was
    killed is continued.

    Returns:
        A completed state, named "Promoted", "Passed" (a person is to decide), "Refused" or
        "Nothing new"; or a failed one, named "Invalid" after a mistake in configuration or
        data, "Unavailable" where a service did not answer.
    """
    label_process()
    with watch_cancellation() as cancelled:
        state = _retrain(cancelled)
    return Cancelled(message=state.message) if cancelled.is_set() else state


def _retrain(cancelled: Event) -> State:
    """Retrain, with a state for every kind of failure."""
    try:
        settings = flow_settings()
        with explained(), run_lock(cancelled), mlflow_errors(connect()):
            return _steps(settings, cancelled)
    except Stopped:
        return Cancelled(message=CANCELLED)
    except InputError as error:
        return Failed(name=INVALID, message=str(error))
    except (Unavailable, remote.DvcFailed) as error:
        return Failed(name=UNAVAILABLE, message=str(error))


def _steps(settings: FlowSettings, cancelled: Event) -> State:
    """Fetch, train, decide, commit and push, in this order."""
    options = settings.operate
    if cancelled.is_set():
        raise Stopped
    branch = check(settings)
    fetch(settings, cancelled)
    if new := has_changes():
        if options.warm_start:
            warm_start(cancelled)
        state = pipeline(**patience(settings), return_state=True)
        if not state.is_completed():
            ended = Cancelled if state.is_cancelled() else Failed
            return ended(name=state.name, message=f"pipeline: {state.message}")
    if cancelled.is_set():
        raise Stopped
    ask = options.promote == "ask"
    decision = judge(ask, cancelled) if new or is_undecided() else None
    result = verdict(decision, ask) if decision else "nothing changed since the last run"
    # Also where nothing is new, since the previous run may have ended early.
    if branch and (commit := branch.commit(f"Retrained: {result}")):
        result += f"; commit {commit[:8]} on branch {options.commit}"
    if options.push:
        result += f"; {remote.push(cancelled)}"
    return Completed(name=outcome(decision, ask), message=result, data=decision)


def check(settings: FlowSettings) -> Branch | None:
    """Return the branch to commit to, if any.

    Raise InputError or Unavailable, before hours of work, if its end would: the branch cannot be
    committed to, there is no remote to push to, or MLflow does not let us in.
    """
    branch = Branch(settings.operate.commit) if settings.operate.commit else None
    if branch:
        branch.check()
    if settings.operate.push:
        remote.check_remote()
    with mlflow_errors(connect()):
        RegisteredModel().versions.exists()
    return branch


def check_all() -> None:
    """Check what a run needs, and the sections of params.yaml that only stages read."""
    check(flow_settings())
    from flows.check import check_known  # whose import takes half a second

    check_known(PARAMS)


def patience(settings: FlowSettings) -> dict[str, Any]:
    """Return the parameters of the pipeline that say how patient it is."""
    hours = settings.operate.stage_hours
    return {
        "retries": settings.operate.retries,
        "stage_timeout_seconds": None if hours is None else 3600 * hours,
    }


def fetch(settings: FlowSettings, cancelled: Event) -> None:
    """Get new data from where params.yaml says."""
    root, drop = Path(settings.ingest.root), Path(settings.operate.drop)
    if settings.operate.fetch == "dvc":
        remote.fetch(root, cancelled)
    elif settings.operate.fetch == "drop":
        moved = drop_folder.collect(drop, root)
        get_run_logger().info("%d files moved from %s to %s", len(moved), drop, root)


def has_changes() -> bool:
    """Return whether any stage has to run."""
    stages = Stages()
    stages.plan()
    reasons = stages.reasons()
    for name, why in reasons.items():
        if why:
            get_run_logger().info("%s: %s", name, why)
    return any(reasons.values())


def warm_start(cancelled: Event) -> None:
    """Let training start from the champion, if there is one."""
    version = start_from_champion(RegisteredModel(cancelled))
    start = f"version {version}, the champion" if version else "fresh weights: there is no champion"
    get_run_logger().info("training starts from %s", start)


def is_undecided() -> bool:
    """Return whether a challenger was never judged, because its run was killed."""
    model = RegisteredModel()
    challenger = model.versions.by_alias(model.settings.register_.alias)
    if challenger is None:
        return False
    return TAG not in challenger.tags and str(challenger.version) != model.log.champion()


# Others may promote meanwhile.
@task(retries=2, retry_condition_fn=retry_on(Overtaken), cache_policy=NO_CACHE)
def judge(ask: bool, cancelled: Event) -> Decision:
    """Judge the challenger and record the result; with `ask`, a person promotes it."""
    if ask:
        log = RegisteredModel().log
        log.record_moves()
        decision = promote(dry=True, stopping=cancelled)
        if decision.gates:
            result = "waiting for a person since" if decision.promoted else "refused"
            log.tag(decision.version, f"{result} {now()}")
    else:
        decision = promote(why="retrained", stopping=cancelled)
    artifacts.show(decision_page(decision, ask), "decision")
    return decision


def outcome(decision: Decision | None, ask: bool) -> str:
    """Return the name of the run's state."""
    if decision is None or not decision.gates:
        return "Nothing new"
    if not decision.promoted:
        return "Refused"
    return "Passed" if ask else "Promoted"


def verdict(decision: Decision, ask: bool) -> str:
    """Return the decision in a sentence."""
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
    """Return the gates with their results as Markdown."""
    rows = [
        (
            "pass" if gate.passed else "**fail**",
            gate.name,
            format_number(gate.found),
            format_number(gate.champion),
            gate.bound,
            format_number(gate.p),
        )
        for gate in decision.gates
    ]
    page = f"{verdict(decision, ask)}."
    if rows:
        header = ("", "gate", "challenger", "champion", "bound", "p")
        page += f"\n\n{artifacts.table(header, rows)}"
    return page


def main(argv: Sequence[str] | None = None) -> int:
    """Retrain now, from the shell; see `exit_code`."""
    command_line.parser(__doc__).parse_args(argv)
    return exit_code(retrain, check_all)


if __name__ == "__main__":
    sys.exit(main())
