"""Evaluation of registered models as a Prefect flow: champion and challenger, every corruption.

python -m flows.evaluate
"""

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from threading import Event

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from components.common import command_line
from components.common.errors import InputError, Unavailable, explained
from components.common.nested import flatten
from components.evaluate.evaluation.results import Evaluation
from components.registry.names import mlflow_name
from components.registry.shown import decisive, figure_table, named_by_gates
from components.registry.tracking import connect, mlflow_errors
from components.registry.versions import MAKE_MODEL
from flows.dvc.run_lock import run_lock
from flows.prefect import artifacts
from flows.prefect.exit_codes import INVALID, UNAVAILABLE, exit_code
from flows.prefect.notify import report
from flows.prefect.runs import CANCELLED, label_process, watch_cancellation
from flows.processes.command import Stopped
from flows.promotion.gates import format_number
from flows.promotion.registered_model import RegisteredModel
from flows.settings import PromoteSettings, Suite

ROBUSTNESS = "robustness/"
SIZE = "size_bytes"
COSTS = ("latency/single/p95_ms", SIZE)

Figures = Mapping[str, float]  # by name


@flow(name="evaluate", on_failure=[report], on_crashed=[report])
def evaluate(suite: Suite = "full") -> State[dict[str, Figures]]:
    """Evaluate champion and challenger on the current test data; promote nothing.

    The figures go to the artifacts `evaluation` and `robustness`, and to the versions' runs in
    MLflow.

    Args:
        suite: of corruptions.

    Returns:
        A completed state with the figures by alias, or a failed one, named "Invalid" after a
        mistake in configuration or data, "Unavailable" where a service did not answer.
    """
    label_process()
    with watch_cancellation() as cancelled:
        state = _evaluate(suite, cancelled)
    return Cancelled(message=state.message) if cancelled.is_set() else state


def _evaluate(suite: Suite, cancelled: Event) -> State:
    try:
        with explained(), run_lock(cancelled):
            versions = candidates()
            found = {
                alias: evaluate_version(number, suite, cancelled)
                for alias, number in versions.items()
                if not cancelled.is_set()
            }
    except InputError as error:
        return Failed(name=INVALID, message=str(error))
    except Unavailable as error:
        return Failed(name=UNAVAILABLE, message=str(error))
    if cancelled.is_set():
        return Cancelled(message=CANCELLED)
    figures = {alias: made for alias, made in found.items() if not isinstance(made, State)}
    artifacts.show(evaluation_page(figures), "evaluation")
    artifacts.show(robustness_page(figures), "robustness")
    named = ", ".join(f"version {number} ({alias})" for alias, number in versions.items())
    return Completed(message=f"evaluated with the suite {suite}: {named}", data=figures)


def candidates() -> dict[str, str]:
    """Return alias → version of champion and challenger; once if both are the same version."""
    model = RegisteredModel()
    with mlflow_errors(model.mlflow):
        model.log.record_moves()
        known = model.versions.aliases()
    aliases = model.settings.promote.alias, model.settings.register_.alias
    found: dict[str, str] = {}
    for alias in aliases:
        if alias in known and known[alias] not in found.values():
            found[alias] = known[alias]
    if not found:
        raise InputError(
            f"no version of {model.name} has the alias {' or '.join(aliases)}. {MAKE_MODEL}"
        )
    return found


@task(task_run_name="version {number}", cache_policy=NO_CACHE)
def evaluate_version(number: str, suite: Suite, cancelled: Event) -> Figures | State:
    """Evaluate a version and log its figures; return them, or a state if `cancelled` was set."""
    with mlflow_errors(connect()):
        model = RegisteredModel(cancelled)
        try:
            evaluation = model.evaluate(number, suite)
        except Stopped:  # Prefect would log it as a fault
            return Cancelled(message=CANCELLED)
        others = {
            part: evaluation.content[part] for part in ("robustness", "latency", "size_bytes")
        }
        figures = evaluation.figures.by_name() | dict(flatten(others, "/"))
        shown = [*decisive_figures(model.settings.promote, evaluation), *COSTS]
        log_figures(model, number, suite, evaluation.content["fingerprint"], figures, shown)
    return figures


def decisive_figures(settings: PromoteSettings, evaluation: Evaluation) -> list[str]:
    """Return the names of the figures that decide, those of corrupted media included."""
    corrupted = settings.maximum_robustness_drop or ()
    return [
        *decisive(evaluation.figures, named_by_gates(settings.model_dump())),
        *(f"{ROBUSTNESS}{name}/corrupted" for name in corrupted),
    ]


def log_figures(
    model: RegisteredModel,
    number: str,
    suite: Suite,
    fingerprint: str,
    figures: Figures,
    shown: Collection[str],
) -> None:
    """Log figures to the version's run, one step per evaluation, and each evaluation once.

    Those that are `shown` become metrics; all are in a table for each step.
    """
    from mlflow.entities import Metric

    client, tag, version = model.mlflow.MlflowClient(), f"evaluation.{suite}", model.version(number)
    if version.tags.get(tag) == fingerprint:
        return
    names = {
        name: mlflow_name("evaluation", suite, *name.split("/"))
        for name in shown
        if name in figures
    }
    step = len(client.get_metric_history(version.run_id, names[SIZE]))
    now = int(time.time() * 1000)
    table = f"evaluation/{suite}/{step}.json"
    client.log_table(version.run_id, figure_table(figures), table)
    rows = [Metric(metric, figures[name], now, step) for name, metric in names.items()]
    client.log_batch(version.run_id, metrics=rows)
    model.versions.tag(number, tag, fingerprint)


def evaluation_page(figures: Mapping[str, Figures]) -> str:
    """Return all figures except robustness, one column per version, as Markdown."""
    rows = [
        [name, *(format_number(found.get(name)) for found in figures.values())]
        for name in _names(figures)
        if not name.startswith(ROBUSTNESS)
    ]
    return artifacts.table(("figure", *figures), rows)


def robustness_page(figures: Mapping[str, Figures]) -> str:
    """Return clean and corrupted performance of each version and their ratio, as Markdown."""
    kinds = ("clean", "corrupted", "relative")
    names = (name for name in _names(figures) if name.startswith(ROBUSTNESS))
    subjects = dict.fromkeys(name.rpartition("/")[0] for name in names)
    header = ("subject", *(f"{alias}: {kind}" for alias in figures for kind in kinds))
    rows = []
    for name in subjects:
        values = (found.get(f"{name}/{kind}") for found in figures.values() for kind in kinds)
        rows.append([name.removeprefix(ROBUSTNESS), *map(format_number, values)])
    return artifacts.table(header, rows)


def _names(figures: Mapping[str, Figures]) -> list[str]:
    return list(dict.fromkeys(name for found in figures.values() for name in found))


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate now, from the shell; see `exit_code`."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--suite", choices=("none", "quick", "full"), default="full")
    return exit_code(evaluate, candidates, suite=parser.parse_args(argv).suite)


if __name__ == "__main__":
    sys.exit(main())
