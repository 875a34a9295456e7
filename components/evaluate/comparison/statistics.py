"""Tests of whether one model is better than another on the same test set.

Both models predicted the same test set, so predictions form pairs. Predictions that are right or
wrong together are one cluster: a thousand questions about one image say no more about other images
than one question. Whether a fraction of right predictions rose is tested by McNemar's exact test
(1947) over clusters: those with more right predictions against those with fewer. All else is tested
by the paired bootstrap over clusters (Efron & Tibshirani 1993, ch. 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import bdtrc

from components.common.metrics import Metric
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.metrics import quotient

RESAMPLES = 9999


@dataclass(frozen=True)
class Pairs:
    """What the predictions of two models for n clusters add to a metric, a quotient of sums."""

    metric: Metric
    challenger: np.ndarray  # numerators and denominators, float [2, n]
    champion: np.ndarray  # likewise

    def with_pseudo_observations(self) -> "Pairs":
        """Return the same with two more clusters of average size, in each of which one model fails.

        After Agresti & Min (2005, Statistics in Medicine 24, 729–740): otherwise, where no pair
        differs, the bootstrap would be certain that none ever does, however few there are.
        """
        size = self.challenger[1].mean()
        fails_second, fails_first = [[size, 0.0], [size, size]], [[0.0, size], [size, size]]
        return Pairs(
            self.metric,
            np.concatenate([self.challenger, fails_second], axis=1),
            np.concatenate([self.champion, fails_first], axis=1),
        )


def drop(metric: Metric, *sums: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return by how much the challenger is worse.

    `sums` are numerators and denominators of the challenger, then of the champion, [n] each.
    """
    totals = [values.sum(axis) for values in sums]
    challenger, champion = quotient(*totals[:2]), quotient(*totals[2:])
    return champion - challenger if metric.higher_is_better else challenger - champion


def mcnemar(gained: int, lost: int) -> float:
    """Return the one-sided exact p-value of McNemar's test of gains being likelier than losses."""
    return float(bdtrc(gained - 1, gained + lost, 0.5)) if gained else 1.0


def resampled_drops(pairs: Pairs, seed: int) -> np.ndarray:
    """Return the drop of clusters drawn with replacement, [RESAMPLES]."""
    from scipy.stats import bootstrap  # whose import takes most of a second

    return bootstrap(
        (*pairs.challenger, *pairs.champion),
        partial(drop, pairs.metric),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2**20 // pairs.challenger.shape[1]),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution


def p_value(hits: np.ndarray) -> float:
    """Return a p-value from resamples, never 0 (Davison & Hinkley 1997, eq. 4.11)."""
    return float((hits.sum() + 1) / (len(hits) + 1))


def p_values(pairs: Pairs, margin: float, seed: int) -> tuple[float, float]:
    """Return p-values of the challenger being within the margin, and of its being better.

    They are the probability of results at least this good if the challenger were worse by the
    margin, and if it were no better.
    """
    drops = _drops(pairs, seed)
    return p_value(drops >= margin), p_better(pairs, seed, drops)


def p_better(pairs: Pairs, seed: int, drops: np.ndarray | None = None) -> float:
    """Return the p-value of the challenger being better; `drops` are resampled, if they are known.

    Its accuracy needs none.
    """
    if drop(pairs.metric, *pairs.challenger, *pairs.champion) >= 0:
        return 1.0
    if pairs.metric == ClassificationMetrics.primary():  # each prediction is right or wrong
        right, before = pairs.challenger[0], pairs.champion[0]
        return mcnemar(int((right > before).sum()), int((right < before).sum()))
    return p_value((_drops(pairs, seed) if drops is None else drops) >= 0)


def _drops(pairs: Pairs, seed: int) -> np.ndarray:
    bounded = pairs.metric.unit == "fraction"
    return resampled_drops(pairs.with_pseudo_observations() if bounded else pairs, seed)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for several tests (Holm 1979)."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(values)[order] * factors), 1)
    return adjusted[np.argsort(order)].tolist()
