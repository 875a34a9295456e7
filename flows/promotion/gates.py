"""Gates: what a model must show to become the champion, as params.yaml says.

Whatever params.yaml says, a model with a task that was not measured is refused.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.errors import InputError
from components.common.metrics import SLICES, task_of
from components.evaluate.evaluation.results import Evaluation
from flows.settings import PromoteSettings

MAX_SUGGESTIONS = 3  # names that are offered for an unknown one


@dataclass(frozen=True)
class Gate:
    """One gate and its result."""

    name: str  # of the setting and the figure
    found: float | None  # the challenger's value
    bound: str  # as a person reads it
    passed: bool
    champion: float | None = None  # the champion's value
    p: float | None = None  # the p-value that decided, if one did


def format_number(value: float | None) -> str:
    """Return a figure as tables show it."""
    return "–" if value is None else f"{value:.4g}"


def judge(
    settings: PromoteSettings,
    challenger: Evaluation,
    champion: Evaluation | None = None,
    comparison: Sequence[Mapping[str, Any]] = (),
) -> list[Gate]:
    """Return every gate of the settings with its result.

    `components.evaluate.comparison` makes the comparison of challenger and champion. Raises
    InputError if a gate refers to a figure that neither has though its task was measured.
    """
    gates = [
        *_measured(challenger),
        *_minimum(settings, challenger, champion),
        *_costs(settings, challenger, champion),
        *_robustness(settings, challenger, champion),
    ]
    if champion is None:
        return [*gates, *_comparable(settings, challenger)]
    return [*gates, *_compared(settings, comparison)]


def _measured(challenger: Evaluation) -> Iterator[Gate]:
    """Yield a gate, which is not passed, for each task without a primary metric."""
    bound = f"a head, and a label in the {challenger.figures.split} split"
    for task in challenger.unmeasured:
        yield Gate(f"{task} was measured", None, bound, False)


def _minimum(
    settings: PromoteSettings, challenger: Evaluation, champion: Evaluation | None
) -> Iterator[Gate]:
    ours, theirs = _figures(challenger), _figures(champion) if champion else {}
    valid = ours | theirs
    for key, bound in (settings.minimum or {}).items():
        names = [name for name in valid if f"{name}/".startswith(f"{key}/")]
        if not names and not _is_known("minimum", key, valid, challenger):
            yield Gate(f"minimum {key}", None, f"{bound:g}", False)
        for name in names:
            source = challenger if name in ours or champion is None else champion
            found, title = ours.get(name), f"minimum {name}"
            if source.figures.metric(name).higher_is_better:
                passed = found is not None and found >= bound
                yield Gate(title, found, f"≥ {bound:g}", passed, theirs.get(name))
            else:
                yield _at_most(title, found, bound, theirs.get(name))


def _costs(
    settings: PromoteSettings, challenger: Evaluation, champion: Evaluation | None
) -> Iterator[Gate]:
    if (bound := settings.maximum_latency_ms) is not None:
        ours, theirs = _latency(challenger), champion and _latency(champion)
        yield _at_most("maximum_latency_ms", ours, bound, theirs)
    if (bound := settings.maximum_size_mb) is not None:
        ours, theirs = _megabytes(challenger), champion and _megabytes(champion)
        yield _at_most("maximum_size_mb", ours, bound, theirs)


def _robustness(
    settings: PromoteSettings, challenger: Evaluation, champion: Evaluation | None
) -> Iterator[Gate]:
    ours, theirs = _drops(challenger), _drops(champion) if champion else {}
    for name, bound in (settings.maximum_robustness_drop or {}).items():
        _is_known("maximum_robustness_drop", name, ours | theirs, challenger)
        title = f"maximum_robustness_drop {name}"
        yield _at_most(title, ours.get(name), bound, theirs.get(name))


def _comparable(settings: PromoteSettings, challenger: Evaluation) -> Iterator[Gate]:
    """Yield a gate for each metric that a champion would be compared by and that is missing."""
    ours = _figures(challenger)
    for name, margin in (settings.maximum_drop or {}).items():
        if not _is_known("maximum_drop", name, ours, challenger):
            yield Gate(f"maximum_drop {name}", None, f"drop < {margin:g}", False)


def _compared(settings: PromoteSettings, comparison: Sequence[Mapping[str, Any]]) -> Iterator[Gate]:
    level = 1 - settings.confidence
    for row in comparison:
        yield Gate(
            f"maximum_drop {row['metric']}",
            row["challenger"],
            f"drop < {row['margin']:g}",
            row["p_within"] <= level,
            row["champion"],
            row["p_within"],
        )
    if settings.require == "better":
        best = min(comparison, key=lambda row: row["p_better"])
        yield Gate(
            f"require better: {best['metric']}",
            best["challenger"],
            "better",
            best["p_better"] <= level,
            best["champion"],
            best["p_better"],
        )


def _figures(evaluation: Evaluation) -> dict[str, float]:
    """Return by name the figures whose metric is defined; a ceiling has no direction."""
    figures = evaluation.figures
    defined = (SLICES, *figures.metrics)
    return {n: value for n, value in figures.by_name().items() if n.split("/")[0] in defined}


def _latency(evaluation: Evaluation) -> float:
    return evaluation.content["latency"]["single"]["p95_ms"]


def _megabytes(evaluation: Evaluation) -> float:
    return evaluation.content["size_bytes"] / 1e6


def _at_most(name: str, found: float | None, bound: float, champion: float | None) -> Gate:
    return Gate(name, found, f"≤ {bound:g}", found is not None and found <= bound, champion)


def _drops(evaluation: Evaluation) -> dict[str, float]:
    """Return by how much corruptions make the model worse, by group/task/subset."""
    result = {}
    for group, tasks in evaluation.content["robustness"].items():
        for task, subsets in tasks.items():
            metric = evaluation.figures.primary(task)
            assert metric is not None
            for subset, values in subsets.items():
                drop = metric.improvement(values["clean"], values["corrupted"])
                result[f"{group}/{task}/{subset}"] = drop
    return result


def _is_known(setting: str, name: str, valid: Mapping[str, float], challenger: Evaluation) -> bool:
    """Return whether there is a figure; raise InputError if not though its task was measured."""
    if name in valid or task_of(name) in challenger.unmeasured:
        return name in valid
    near = difflib.get_close_matches(name, valid, n=MAX_SUGGESTIONS, cutoff=0)
    raise InputError(
        f"promote.{setting}: unknown figure {name!r}. The most similar on the "
        f"{challenger.figures.split} split: {', '.join(near) or 'none'}"
    )
