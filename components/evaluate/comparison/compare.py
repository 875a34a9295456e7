"""Comparison of two evaluations by the metrics of `promote.maximum_drop`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from components.common.errors import InputError, nearest
from components.common.metrics import task_of
from components.evaluate.comparison.statistics import Pairs, drop, holm, p_values
from components.evaluate.evaluation.results import Evaluation
from components.tasks.metrics import quotient

KEY = ["task", "subset", "cluster"]
SUMS = ["numerator", "denominator"]


@dataclass(frozen=True)
class Comparison:
    """A challenger beside the champion by one figure; None if a model does not know the task."""

    metric: str  # name of the figure, such as `accuracy/answer/image`
    clusters: int  # of predictions that both made
    challenger: float | None
    champion: float | None
    drop: float | None  # by how much the challenger is worse, negative where it is better
    margin: float  # the drop that is allowed
    p_within: float  # probability of results at least this good if it were worse by the margin
    p_better: float  # probability of results at least this good if it were no better


def compare_all(
    challenger: Evaluation, champion: Evaluation, margins: Mapping[str, float], seed: int
) -> list[Comparison]:
    """Compare two evaluations by several metrics, with `p_better` adjusted for their number.

    Args:
        margins: name of a figure → the drop that is allowed.

    Raises:
        InputError: models are not compared by such a metric.
    """
    found = [compare(name, m, challenger, champion, seed) for name, m in margins.items()]
    adjusted = holm([row.p_better for row in found])
    return [replace(row, p_better=p) for row, p in zip(found, adjusted, strict=True)]


def compare(
    name: str, margin: float, challenger: Evaluation, champion: Evaluation, seed: int
) -> Comparison:
    """Compare two evaluations by one metric.

    Raises:
        InputError: neither has such a metric, or models are not compared by it.
    """
    ours, theirs = contributions_to(name, challenger), contributions_to(name, champion)
    if ours.empty and theirs.empty:
        if task_of(name) in challenger.unmeasured:
            return Comparison(name, 0, None, None, None, margin, 1.0, 1.0)
        raise InputError(
            f"promote.maximum_drop: models are not compared by {name!r}. "
            f"{nearest(name, comparable(challenger))}"
        )
    if ours.empty or theirs.empty:
        p = 1.0 if ours.empty else 0.0  # knowing a task is better
        return Comparison(name, 0, _value(ours), _value(theirs), None, margin, p, p)
    known = challenger if name.split("/")[0] in challenger.figures.metrics else champion
    both = ours.merge(theirs, on=KEY, suffixes=("_ours", "_theirs"))
    sides = (both[[f"{s}_{who}" for s in SUMS]].to_numpy().T for who in ("ours", "theirs"))
    pairs = Pairs(known.figures.metric(name), *sides)
    within, better = p_values(pairs, margin, seed)
    return Comparison(
        metric=name,
        clusters=len(both),
        challenger=float(quotient(*pairs.challenger.sum(1))),
        champion=float(quotient(*pairs.champion.sum(1))),
        drop=float(drop(pairs.metric, *pairs.challenger, *pairs.champion)),
        margin=margin,
        p_within=within,
        p_better=better,
    )


def contributions_to(name: str, evaluation: Evaluation) -> pd.DataFrame:
    """Return the rows of `CONTRIBUTIONS` that make up a figure such as `accuracy/answer/image`."""
    return evaluation.contributions[_figure_names(evaluation) == name]


def comparable(evaluation: Evaluation) -> list[str]:
    """Return the names of the figures that models can be compared by."""
    return list(dict.fromkeys(_figure_names(evaluation)))


def _figure_names(evaluation: Evaluation) -> pd.Series:
    """Return the figure that each row of `CONTRIBUTIONS` belongs to."""
    table = evaluation.contributions
    tasks = {str(task): evaluation.figures.primary(str(task)) for task in table["task"].unique()}
    metrics = {task: metric.name for task, metric in tasks.items() if metric is not None}
    return table["task"].map(metrics) + "/" + table["task"] + "/" + table["subset"]


def _value(rows: pd.DataFrame) -> float | None:
    return float(quotient(*np.asarray(rows[SUMS].sum()))) if len(rows) else None
