"""What a model must show to become the champion: the gates of params.yaml, one by one."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.common.errors import InputError
from components.config.promote import PromoteSettings
from components.registry.naming import flatten

ERRORS = ("mean_absolute_error", "median_rank")  # metrics that are better the smaller they are
NEAR = 3  # names that are offered for one that there is not


@dataclass(frozen=True)
class Gate:
    """One gate and what was found.

    Attributes:
        name: the setting's and the metric's.
        found: the challenger's value; None if it has none.
        bound: what it was to keep to, as a person reads it.
        passed: whether it did.
        champion: the champion's value, if there is one.
        p: the p-value that decided, if one did.
    """

    name: str
    found: float | None
    bound: str
    passed: bool
    champion: float | None = None
    p: float | None = None


def number(value: float | None) -> str:
    """A figure as tables show it."""
    return "–" if value is None else f"{value:.4g}"


def judge(
    settings: PromoteSettings,
    exam: Mapping,
    champion: Mapping | None = None,
    comparison: Sequence[Mapping] = (),
) -> list[Gate]:
    """Every gate that the settings have.

    Args:
        settings: the section `promote`.
        exam: of the challenger, as `components.evaluate.evaluation` writes it.
        champion: of the champion; None if there is none.
        comparison: of both, as `components.evaluate.compare` writes it.

    Raises:
        InputError: a gate is about a metric that neither model has.
    """
    gates = [*_minima(settings, exam, champion), *_costs(settings, exam, champion)]
    gates += _robustness(settings, exam, champion)
    if champion is None:
        return gates
    allowed = 1 - settings.confidence
    gates += [
        Gate(
            f"maximum_drop {row['metric']}",
            row["challenger"],
            f"drop < {row['margin']:g}",
            row["p_within"] <= allowed,
            row["champion"],
            row["p_within"],
        )
        for row in comparison
    ]
    if settings.require == "better":
        best = min(comparison, key=lambda row: row["p_better"])
        gates.append(
            Gate(
                f"require better: {best['metric']}",
                best["challenger"],
                "better",
                best["p_better"] <= allowed,
                best["champion"],
                best["p_better"],
            )
        )
    return gates


def _minima(settings: PromoteSettings, exam: Mapping, champion: Mapping | None) -> Iterator[Gate]:
    ours, theirs = _metrics(exam), _metrics(champion)
    for name, bound in (settings.minimum or {}).items():
        _known("minimum", name, ours | theirs)
        found = ours.get(name)
        smaller = name.split("/")[0] in ERRORS
        passed = found is not None and (found <= bound if smaller else found >= bound)
        sign = "≤" if smaller else "≥"
        yield Gate(f"minimum {name}", found, f"{sign} {bound:g}", passed, theirs.get(name))


def _costs(settings: PromoteSettings, exam: Mapping, champion: Mapping | None) -> Iterator[Gate]:
    if (bound := settings.maximum_latency_ms) is not None:
        found, other = (e and e["latency"]["single"]["p95_ms"] for e in (exam, champion))
        yield Gate("maximum_latency_ms", found, f"≤ {bound:g}", found <= bound, other)
    if (bound := settings.maximum_size_mb) is not None:
        found, other = (e and e["size_bytes"] / 1e6 for e in (exam, champion))
        yield Gate("maximum_size_mb", found, f"≤ {bound:g}", found <= bound, other)


def _robustness(
    settings: PromoteSettings, exam: Mapping, champion: Mapping | None
) -> Iterator[Gate]:
    ours, theirs = _drops(exam), _drops(champion)
    for name, bound in (settings.maximum_robustness_drop or {}).items():
        _known("maximum_robustness_drop", name, ours | theirs)
        found = ours.get(name)
        passed = found is not None and found <= bound
        yield Gate(
            f"maximum_robustness_drop {name}", found, f"≤ {bound:g}", passed, theirs.get(name)
        )


def _metrics(exam: Mapping | None) -> dict[str, float]:
    """By the names in reports/metrics.json."""
    return dict(flatten(exam["metrics"] | {"slices": exam["slices"]}, "/")) if exam else {}


def _drops(exam: Mapping | None) -> dict[str, float]:
    """How much worse the model gets, by group/task/subset."""
    return {
        f"{group}/{task}/{subset}": (values["clean"] - values["corrupted"])
        * (-1 if exam["compared"][task] in ERRORS else 1)
        for group, tasks in (exam["robustness"] if exam else {}).items()
        for task, subsets in tasks.items()
        for subset, values in subsets.items()
    }


def _known(setting: str, name: str, valid: Mapping[str, float]) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, valid, n=NEAR, cutoff=0)
        raise InputError(
            f"promote.{setting}: there is no {name!r} on the test split. The nearest: "
            f"{', '.join(near) or 'none'}"
        )
