"""Pages about stages in Prefect's UI."""

from collections.abc import Sequence

from flows.dvc.plan import Metrics, PlannedStage
from flows.dvc.stages import Outcome
from flows.prefect.artifacts import picture, table
from flows.run_settings import Change


def run_page(outcomes: Sequence[Outcome], changes: Sequence[Change] = ()) -> str:
    """Return what happened to each stage, how long it took and why, as Markdown.

    Settings that the run changed follow, with their values before and after.
    """
    rows = [[o.name, o.what, f"{o.seconds:.1f}", o.why] for o in outcomes]
    parts = [table(("stage", "result", "seconds", "why"), rows)]
    if changes:
        settings = [[c.key, f"{_code(c.before)} → {_code(c.after)}"] for c in changes]
        parts.append(table(("setting", "old → new, for later runs too"), settings))
    return "\n\n".join(parts)


def _code(value: str) -> str:
    """Return a value that is shown as it is, whatever Markdown or HTML it holds."""
    return f"`{value.replace('`', '´')}`"


def stage_page(planned: PlannedStage, outcome: Outcome, before: Metrics) -> str:
    """Return why a stage ran, its command, metrics and plots, as Markdown."""
    parts = [
        f"**{outcome.what}** in {outcome.seconds:.1f} s: {outcome.why}",
        f"```\n{planned.command}\n```",
    ]
    if metrics := planned.metrics():
        rows = [[name, f"{now:g}", _change(now, before.get(name))] for name, now in metrics.items()]
        parts.append(table(("metric", "value", "change"), rows))
    parts += [f"### {path.stem}\n\n{picture(path)}" for path in planned.pictures()]
    return "\n\n".join(parts)


def _change(now: float, before: float | None) -> str:
    if before is None:
        return "new"
    return f"{now - before:+g}" if now != before else "="
