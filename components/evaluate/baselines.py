"""The model beside the baselines, by the primary metric and on the same held-out samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.common.metrics import Metric
from components.data.samples import SAMPLE_ID, asset_column, modalities_named
from components.evaluate.measure import KEY, TasksMetrics, Values
from components.modalities.registry import MODALITIES
from components.tasks.metrics import quotient

ABOVE = Metric("above_baseline", unit="score")  # by how much the model is better
BASELINES_KEY = "baselines"  # figures of all of them, by task and baseline
SUMS, SIDES = ["numerator", "denominator"], ("model", "baseline")


@dataclass(frozen=True)
class BesideBaseline:
    """The model and the strongest baseline that sees no more than it, on one subset of modalities.

    Strongest on the validation split, of samples that have the whole subset.
    """

    task: str
    subset: str
    baseline: str
    metric: Metric
    sample_ids: pd.Series  # of the n held-out samples that both predicted
    model: np.ndarray  # what they add to numerator and denominator of the metric, float [2, n]
    strongest: np.ndarray  # likewise

    @property
    def values(self) -> tuple[float, float]:
        """The metric of the model and of the baseline."""
        model, strongest = (float(quotient(*s.sum(1))) for s in (self.model, self.strongest))
        return model, strongest

    @property
    def above(self) -> float:
        """By how much the model is better."""
        return self.metric.improvement(*self.values)


def beside_baselines(
    contributed: pd.DataFrame, baselines: pd.DataFrame, samples: pd.DataFrame, metrics: TasksMetrics
) -> list[BesideBaseline]:
    """Compare predictions with the strongest baselines, by task and subset of modalities.

    Args:
        contributed: as `contributions` returns it.
        baselines: a table as `BASELINES`.
        samples: of all splits.
        metrics: of each task.
    """
    contributed, baselines = (_placed(table, samples) for table in (contributed, baselines))
    by_task = {
        str(task): {str(name): found for name, found in rows.groupby("baseline", sort=False)}
        for task, rows in baselines.groupby("task", sort=False)
    }
    result = []
    for (task, subset), rows in contributed.groupby(KEY, sort=False):
        of_task = by_task.get(str(task), {})
        known = {n: found for n, found in of_task.items() if _sees_no_more(n, str(subset))}
        metric = metrics[str(task)].primary()
        name = strongest(known, samples, str(subset), metric)
        if name is None:
            continue
        theirs = known[name].set_index("place")[SUMS]
        both = rows[rows["place"].isin(theirs.index)]
        if len(both):
            sums = both[SUMS].to_numpy().T, theirs.loc[both["place"]].to_numpy().T
            ids = both[SAMPLE_ID].reset_index(drop=True)
            result.append(BesideBaseline(str(task), str(subset), name, metric, ids, *sums))
    return result


def strongest(
    known: dict[str, pd.DataFrame], samples: pd.DataFrame, subset: str, metric: Metric
) -> str | None:
    """Return the baseline that is best on the validation samples that have a subset.

    Where there are none, it is that which sees most; None if there is no baseline.

    Args:
        known: by name, rows of `BASELINES` with the `place` of each among the samples.
    """
    given = samples[list(map(asset_column, modalities_named(subset)))].notna().all(axis=1)
    given = given.to_numpy()
    best, value = next(reversed(known), None), None
    for name, rows in known.items():
        rows = rows[(rows["split"] == "validation").to_numpy() & given[rows["place"]]]
        if not len(rows):
            continue
        found = float(quotient(*rows[SUMS].sum().to_numpy()))
        if value is None or metric.improvement(found, value) > 0:
            best, value = name, found
    return best


def baseline_figures(
    baselines: pd.DataFrame, beside: Sequence[BesideBaseline], split: str
) -> Values:
    """Return `ABOVE` by task and subset, and as `BASELINES_KEY` every baseline's metric by task.

    The latter is that of the samples of one split.
    """
    result: Values = {}
    for row in beside:
        result.setdefault(ABOVE.name, {}).setdefault(row.task, {})[row.subset] = row.above
    held_out = baselines[baselines["split"] == split]
    for (task, name), sums in held_out.groupby(["task", "baseline"], sort=False)[SUMS]:
        values = result.setdefault(BASELINES_KEY, {}).setdefault(str(task), {})
        values[str(name)] = float(quotient(*sums.sum().to_numpy()))
    return result


def _placed(table: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of known samples, with the `place` of each, since numbers compare fast."""
    places = pd.Index(samples[SAMPLE_ID]).get_indexer(pd.Index(table[SAMPLE_ID]))
    return table.assign(place=places)[places >= 0]


def _sees_no_more(baseline: str, subset: str) -> bool:
    """Return whether a baseline sees nothing that a subset such as `image-text` lacks."""
    return set(modalities_named(baseline)) & set(MODALITIES) <= set(modalities_named(subset))
