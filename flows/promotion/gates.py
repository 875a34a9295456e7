"""Gates: what a model must show to become the champion, as params.yaml says."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.common.errors import InputError
from components.common.metrics import SLICES
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
    InputError if a gate refers to a figure that neither has.
    """
    gates = [
        *_minimum(settings, challenger, champion),
        *_costs(settings, challenger, champion),
        *_robustness(settings, challenger, champion),
    ]
    return gates if champion is None else [*gates, *_compared(settings, comparison)]


def _minimum(
    settings: PromoteSettings, challenger: Evaluation, champion: Evaluation | None
) -> Iterator[Gate]:
    ours, theirs = _figures(challenger), _figures(champion) if champion else {}
    asked = (settings.minimum or {}).items()
    bounds = [(name, bound) for key, bound in asked for name in _under(key, ours | theirs)]
    for name, bound in bounds:
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
        _check_known("maximum_robustness_drop", name, ours | theirs)
        title = f"maximum_robustness_drop {name}"
        yield _at_most(title, ours.get(name), bound, theirs.get(name))


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


def _under(name: str, valid: Mapping[str, float]) -> list[str]:
    """Return the figure of a name, or all whose names begin with it, as `accuracy/answer`."""
    found = [figure for figure in valid if f"{figure}/".startswith(f"{name}/")]
    if not found:
        _check_known("minimum", name, valid)
    return found


def _check_known(setting: str, name: str, valid: Mapping[str, float]) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, valid, n=MAX_SUGGESTIONS, cutoff=0)
        raise InputError(
            f"promote.{setting}: unknown figure {name!r}. The most similar on the test split: "
            f"{', '.join(near) or 'none'}"
        )
