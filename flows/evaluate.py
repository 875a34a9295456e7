"""The weekly exam as a Prefect flow: champion and challenger, tried with every corruption.

python -m flows.evaluate
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from threading import Event

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from components.common.errors import InputError, Unavailable
from components.common.files import read_json
from components.config.promote import Suite
from components.registry.naming import flatten, metric_name
from components.registry.tracking import explained
from flows import artifacts
from flows.command import Stopped
from flows.gates import number
from flows.notify import report
from flows.promote import Desk
from flows.runs import CANCELLED, attended, note_process
from flows.shell import INVALID, exit_code
from flows.turn import turn

PARTS = ("metrics", "slices", "robustness", "latency", "size_bytes")  # of an exam, in figures
ROBUSTNESS = "robustness/"
BATCH = 1000  # metrics a request

Figures = Mapping[str, float]


@flow(name="evaluate", on_failure=[report], on_crashed=[report])
def evaluate(suite: Suite = "full") -> State[dict[str, Figures]]:
    """Examine the champion and the challenger on the present test data; promote nothing.

    The figures go to the artifacts `exam` and `robustness`, and to the versions' runs in MLflow.

    Args:
        suite: the corruptions that they are tried with.

    Returns:
        A completed state with the figures by alias, or a failed one, named "Invalid" after a
        mistake in configuration or data.
    """
    note_process()
    with attended() as cancelled:
        state = _evaluate(suite, cancelled)
    return Cancelled(message=state.message) if cancelled.is_set() else state


def _evaluate(suite: Suite, cancelled: Event) -> State:
    try:
        with turn(cancelled):
            versions = candidates()
            exams = {
                alias: examine(number, suite, cancelled)
                for alias, number in versions.items()
                if not cancelled.is_set()
            }
    except InputError as error:
        return Failed(name=INVALID, message=str(error))
    except Unavailable as error:
        return Failed(message=str(error))
    if cancelled.is_set():
        return Cancelled(message=CANCELLED)
    artifacts.show(exam_page(exams), "exam")
    artifacts.show(robustness_page(exams), "robustness")
    named = ", ".join(f"version {number} ({alias})" for alias, number in versions.items())
    return Completed(message=f"examined with the suite {suite}: {named}", data=exams)


def candidates() -> dict[str, str]:
    """The champion's and the challenger's version by alias; once if both are the same.

    Raises:
        InputError: no version has either alias.
        Unavailable: MLflow does not answer.
    """
    desk = Desk()
    aliases = desk.settings.promote.alias, desk.settings.register_.alias
    with explained(desk.mlflow):
        desk.log.note_moves()
        known = desk.mlflow.MlflowClient().get_registered_model(desk.model).aliases
    found: dict[str, str] = {}
    for alias in aliases:
        if alias in known and str(known[alias]) not in found.values():
            found[alias] = str(known[alias])
    if not found:
        raise InputError(
            f"no version of {desk.model} is {' or '.join(aliases)}. Make a model first: make run"
        )
    return found


@task(task_run_name="version {number}", cache_policy=NO_CACHE)
def examine(number: str, suite: Suite, cancelled: Event) -> Figures | State:
    """Examine a version and log the figures, which are given by name.

    Returns:
        The figures, or a state that says that `cancelled` was set first.

    Raises:
        InputError: the version cannot be asked.
        Unavailable: MLflow does not answer.
    """
    desk = Desk(cancelled)
    with explained(desk.mlflow):
        try:
            exam = read_json(desk.exam(number, suite) / "exam.json")
        except Stopped:  # Prefect would log it as a fault
            return Cancelled(message=CANCELLED)
        figures = dict(flatten({part: exam[part] for part in PARTS}, "/"))
        record(desk, number, suite, exam["made_of"], figures)
    return figures


def record(desk: Desk, number: str, suite: Suite, exam: str, figures: Figures) -> None:
    """Log the figures of an exam to the version's run, a step an exam; those of the last once."""
    from mlflow.entities import Metric

    client, tag = desk.mlflow.MlflowClient(), f"exam.{suite}"
    version = client.get_model_version(desk.model, number)
    if version.tags.get(tag) == exam:
        return
    names = {name: metric_name("exam", suite, *name.split("/")) for name in figures}
    step = len(client.get_metric_history(version.run_id, names["size_bytes"]))
    now = int(time.time() * 1000)
    rows = [Metric(names[name], value, now, step) for name, value in figures.items()]
    for start in range(0, len(rows), BATCH):
        client.log_batch(version.run_id, metrics=rows[start : start + BATCH])
    client.set_model_version_tag(desk.model, number, tag, exam)


def exam_page(exams: Mapping[str, Figures]) -> str:
    """All but robustness, a column a version, as Markdown."""
    names = (name for name in _names(exams) if not name.startswith(ROBUSTNESS))
    rows = [[name, *(number(exam.get(name)) for exam in exams.values())] for name in names]
    return artifacts.table(("figure", *exams), rows)


def robustness_page(exams: Mapping[str, Figures]) -> str:
    """Clean and corrupted performance of each version and their ratio, as Markdown."""
    kinds = ("clean", "corrupted", "relative")
    names = (name for name in _names(exams) if name.startswith(ROBUSTNESS))
    asked = dict.fromkeys(name.rpartition("/")[0] for name in names)
    header = ("asked", *(f"{alias}: {kind}" for alias in exams for kind in kinds))
    rows = [
        [
            name.removeprefix(ROBUSTNESS),
            *(number(exam.get(f"{name}/{kind}")) for exam in exams.values() for kind in kinds),
        ]
        for name in asked
    ]
    return artifacts.table(header, rows)


def _names(exams: Mapping[str, Figures]) -> list[str]:
    return list(dict.fromkeys(name for exam in exams.values() for name in exam))


def main(argv: Sequence[str] | None = None) -> int:
    """Examine now, from the shell; see `exit_code`."""
    parser = argparse.ArgumentParser(prog="python -m flows.evaluate", description=__doc__)
    parser.add_argument("--suite", choices=("none", "quick", "full"), default="full")
    suite = parser.parse_args(argv).suite

    def run() -> State:
        state = evaluate(suite, return_state=True)
        print(f"{state.name}: {state.message}")
        return state

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
