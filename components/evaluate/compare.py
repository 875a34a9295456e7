"""Compare two models by their exams: what differs on the same questions, and how sure that is.

Both answered the same questions, so each is a pair. Questions that are right or wrong together
(`exam.units`) are one unit of chance: a thousand questions about one image say no more about
other images than one. Whether the challenger is better in a share of right answers is asked by
McNemar's test (1947), exact, over units: those it does better in against those it does worse in.
Everything else is asked by the paired bootstrap over units (Efron & Tibshirani 1993, ch. 8).
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from components.common.errors import InputError, nearest
from components.common.files import read_json, write_json
from components.config.command import Stage, View
from components.data.tables import SHARES, read_table
from components.evaluate.evaluation import EXAM, PARTS
from components.tasks.classification.labels import ClassLabels
from components.tasks.labels import ERRORS

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Compare two models by their exams, as promote.maximum_drop asks.",
    inputs={
        "challenger": "folder, an exam",
        "champion": "folder, an exam of the same questions",
    },
    outputs={"comparison": "JSON, what each metric of promote.maximum_drop gives"},
    params=("seed", "promote"),
)

RESAMPLES = 9999
UNIT = ["task", "subset", "unit"]


@dataclass(frozen=True)
class Pairs:
    """What two models' answers to the questions of n units add to a metric, float [n] each.

    Attributes:
        metric: its name.
        ours: the challenger's; the sum of these by that of `our_wholes` is its value.
        our_wholes: likewise.
        theirs: the champion's.
        their_wholes: likewise.
    """

    metric: str
    ours: np.ndarray
    our_wholes: np.ndarray
    theirs: np.ndarray
    their_wholes: np.ndarray

    def with_doubt(self) -> "Pairs":
        """The same and two more units of average size, one of which each model alone masters.

        After Agresti & Min (2005, Statistics in Medicine 24, 729–740): else, where no pair
        differs, the bootstrap would be sure that none ever does, however few there are.
        """
        whole = self.our_wholes.mean()
        added = ((whole, 0.0), (whole, whole), (0.0, whole), (whole, whole))
        found = (self.ours, self.our_wholes, self.theirs, self.their_wholes)
        return Pairs(self.metric, *(np.append(*pair) for pair in zip(found, added, strict=True)))


@dataclass(frozen=True)
class Comparison:
    """How a challenger does beside the champion.

    Attributes:
        metric: the name, as `accuracy/answer/image`.
        units: of questions that both answered.
        challenger: its value; None if it does not know the task.
        champion: likewise.
        drop: by how much the challenger is worse; negative where it is better.
        margin: the drop that is allowed.
        p_within: the chance of looking this good, were it worse by the margin.
        p_better: the chance of looking this good, were it no better.
    """

    metric: str
    units: int
    challenger: float | None
    champion: float | None
    drop: float | None
    margin: float
    p_within: float
    p_better: float


def quotient(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by whole; of nothing, all: no class was to be named, and none was."""
    return np.divide(part, whole, out=np.ones(np.shape(part)), where=np.asarray(whole) != 0)


def drop(metric: str, ours, our_wholes, theirs, their_wholes, axis: int = -1) -> np.ndarray:
    """By how much the challenger is worse."""
    challenger = quotient(ours.sum(axis), our_wholes.sum(axis))
    champion = quotient(theirs.sum(axis), their_wholes.sum(axis))
    return challenger - champion if metric in ERRORS else champion - challenger


def mcnemar(gained: int, lost: int) -> float:
    """One-sided exact p-value of McNemar's test: that gains are no more likely than losses.

    Args:
        gained: units that the challenger does better in.
        lost: units that it does worse in.
    """
    return float(stats.binomtest(gained, gained + lost, 0.5, "greater").pvalue) if gained else 1.0


def resampled(pairs: Pairs, seed: int) -> np.ndarray:
    """The drop of as many units drawn with replacement, [RESAMPLES]."""
    return stats.bootstrap(
        (pairs.ours, pairs.our_wholes, pairs.theirs, pairs.their_wholes),
        partial(drop, pairs.metric),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2**20 // len(pairs.ours)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution


def share(hits: np.ndarray) -> float:
    """A p-value from resamples: never 0, as none of these might be the next one
    (Davison & Hinkley 1997, eq. 4.11)."""
    return float((hits.sum() + 1) / (len(hits) + 1))


def compare(name: str, pairs: Pairs, margin: float, seed: int) -> Comparison:
    """Compare two models by one metric."""
    observed = float(drop(pairs.metric, *astuple(pairs)[1:]))
    drops = resampled(pairs if pairs.metric in ERRORS else pairs.with_doubt(), seed)
    if observed >= 0:
        better = 1.0
    elif pairs.metric == ClassLabels.COMPARED:
        gained, lost = (pairs.ours > pairs.theirs).sum(), (pairs.ours < pairs.theirs).sum()
        better = mcnemar(int(gained), int(lost))
    else:
        better = share(drops >= 0)
    return Comparison(
        metric=name,
        units=len(pairs.ours),
        challenger=float(quotient(pairs.ours.sum(), pairs.our_wholes.sum())),
        champion=float(quotient(pairs.theirs.sum(), pairs.their_wholes.sum())),
        drop=observed,
        margin=margin,
        p_within=share(drops >= margin),
        p_better=better,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment (1979): the chance that any one of these looks this good by luck alone."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return adjusted[np.argsort(order)].tolist()


def unanswered(name: str, margin: float, ours: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    """That of a task which one of the models does not know: knowing it is better.

    Args:
        name: the metric.
        margin: the drop that is allowed.
        ours: what the challenger's answers add to the metric, some rows of a table as `SHARES`.
        theirs: likewise; one of the two is empty.
    """
    challenger, champion = (
        float(quotient(rows["part"].sum(), rows["whole"].sum())) if len(rows) else None
        for rows in (ours, theirs)
    )
    p = 1.0 if challenger is None else 0.0
    return Comparison(name, 0, challenger, champion, None, margin, p, p)


def of_metric(shares: pd.DataFrame, compared: Mapping[str, str], name: str) -> pd.DataFrame:
    """The rows of a table as `SHARES` that make up a metric, as `accuracy/answer/image`."""
    names = shares["task"].map(compared) + "/" + shares["task"] + "/" + shares["subset"]
    return shares[names == name]


def compared(name: str, margin: float, exams: Sequence[Path], seed: int) -> Comparison:
    """Compare the challenger's and the champion's exam by one metric.

    Raises:
        InputError: neither has such a metric, or models are not compared by it.
    """
    ours, theirs = (
        of_metric(read_table(exam / PARTS, SHARES), read_json(exam / EXAM)["compared"], name)
        for exam in exams
    )
    if ours.empty and theirs.empty:
        valid = names_of(exams[0])
        raise InputError(
            f"promote.maximum_drop: models are not compared by {name!r}. {nearest(name, valid)}"
        )
    if ours.empty or theirs.empty:
        return unanswered(name, margin, ours, theirs)
    both = ours.merge(theirs, on=UNIT, suffixes=("_ours", "_theirs"))
    columns = [f"{kind}_{who}" for who in ("ours", "theirs") for kind in ("part", "whole")]
    pairs = Pairs(name.split("/")[0], *(both[column].to_numpy() for column in columns))
    return compare(name, pairs, margin, seed)


def names_of(exam: Path) -> list[str]:
    """The metrics that models can be compared by."""
    by_task = read_json(exam / EXAM)["compared"]
    pairs = read_table(exam / PARTS, SHARES)[["task", "subset"]].drop_duplicates()
    return [f"{by_task[row.task]}/{row.task}/{row.subset}" for row in pairs.itertuples()]


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the comparison."""
    exams = (arguments.challenger, arguments.champion)
    gates = settings.promote.maximum_drop or {}
    found = [compared(name, margin, exams, settings.seed) for name, margin in gates.items()]
    adjusted = holm([row.p_better for row in found])
    rows = [asdict(row) | {"p_better": p} for row, p in zip(found, adjusted, strict=True)]
    write_json(arguments.comparison, rows)


if __name__ == "__main__":
    STAGE.run(work)
