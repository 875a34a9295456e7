"""Tests of models against each other: chance promotes nothing, and better models are found."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from components.common.metrics import Metric
from components.evaluate.comparison import statistics
from components.evaluate.comparison.statistics import (
    Pairs,
    drop,
    holm,
    mcnemar,
    p_better,
    p_values,
    resampled_drops,
)
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.metrics import quotient
from components.tasks.multilabel.metrics import MultilabelMetrics
from components.tasks.regression.metrics import RegressionMetrics

ALPHA = 0.05
ERROR = RegressionMetrics.primary()


def accuracy(ours: np.ndarray, theirs: np.ndarray, size: int = 1) -> Pairs:
    """Return pairs from the number of right predictions in each cluster of a size."""
    whole = np.full(len(ours), float(size))
    sides = (np.stack([right * 1.0, whole]) for right in (ours, theirs))
    return Pairs(ClassificationMetrics.primary(), *sides)


def errors(ours: np.ndarray, theirs: np.ndarray, metric: Metric = ERROR) -> Pairs:
    """Return pairs from an absolute error per cluster."""
    return Pairs(metric, *(np.stack([side, np.ones(len(side))]) for side in (ours, theirs)))


def drop_of(pairs: Pairs) -> float:
    return float(drop(pairs.metric, *pairs.challenger, *pairs.champion))


def worlds(count: int, clusters: int, lost: float, gained: float) -> Iterator[Pairs]:
    """Yield pairs of models of which only the champion is right with a probability `lost`, etc."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        drawn = rng.random(clusters)
        ours = (drawn >= lost) & (drawn < 0.9)  # of the rest, both are wrong
        theirs = (drawn < lost) | ((drawn >= lost + gained) & (drawn < 0.9))
        yield accuracy(ours, theirs)


@pytest.fixture
def quick(monkeypatch):
    """Fewer resamples, since many worlds are looked at."""
    monkeypatch.setattr(statistics, "RESAMPLES", 199)


def test_mcnemar_is_the_binomial_tail():
    assert mcnemar(10, 3) == pytest.approx((286 + 78 + 13 + 1) / 2**13)
    assert mcnemar(3, 10) > 0.5
    assert mcnemar(0, 0) == mcnemar(0, 5) == 1.0


def test_equal_challenger_is_rarely_called_better(quick):
    """As rarely as the level says."""
    found = [p_values(pairs, 0.05, 0)[1] for pairs in worlds(400, 300, 0.04, 0.04)]
    assert 0 < np.mean(np.array(found) <= ALPHA) <= ALPHA


def test_better_challenger_is_found(quick):
    found = [p_values(pairs, 0.05, 0)[1] for pairs in worlds(50, 1000, 0.01, 0.04)]
    assert np.mean(np.array(found) <= ALPHA) > 0.9


def test_challenger_worse_by_the_margin_rarely_passes(quick):
    """As rarely as the level says."""
    found = [p_values(pairs, 0.05, 0)[0] for pairs in worlds(400, 300, 0.07, 0.02)]
    rate = np.mean(np.array(found) <= ALPHA)
    assert 0 < rate <= stats.binom.ppf(0.99, 400, ALPHA) / 400


def test_equal_challenger_passes_on_a_large_test_set(quick):
    found = [p_values(pairs, 0.03, 0)[0] for pairs in worlds(50, 2000, 0.02, 0.02)]
    assert np.mean(np.array(found) <= ALPHA) > 0.9


@pytest.mark.parametrize(("clusters", "passes"), [(40, False), (2000, True)])
def test_equal_predictions_prove_little_on_few_clusters(clusters, passes):
    pairs = accuracy(np.ones(clusters), np.ones(clusters))
    within, better = p_values(pairs, 0.005, 0)
    assert (within <= ALPHA) == passes
    assert (drop_of(pairs), better) == (0.0, 1.0)


def test_many_predictions_of_one_cluster_count_once():
    """Four more images with all of their predictions right prove as much as four coins."""
    ours, theirs = np.full(50, 20.0), np.full(50, 20.0)
    theirs[:4] = 0
    pairs = accuracy(ours, theirs, size=20)
    assert drop_of(pairs) == pytest.approx(-0.08)
    assert p_values(pairs, 0.01, 0)[1] == mcnemar(4, 0) > ALPHA


def test_more_gains_do_not_outweigh_a_greater_loss():
    """Nine images with one right prediction more, three with all of them lost."""
    ours, theirs = np.full(100, 10.0), np.full(100, 10.0)
    theirs[:9] = 9
    ours[9:12] = 0
    pairs = accuracy(ours, theirs, size=10)
    assert drop_of(pairs) > 0 and p_values(pairs, 0.5, 0)[1] == 1.0


@pytest.mark.parametrize("name", ["mean_absolute_error", "accuracy"])
def test_lower_error_is_better(name):
    """Whatever the metric is called."""
    metric = Metric(name, higher_is_better=False, unit="label", primary=True)
    theirs = np.abs(np.random.default_rng(0).normal(size=400))
    better, worse = (errors(theirs + shift, theirs, metric) for shift in (-0.1, 0.1))
    assert drop_of(better) == pytest.approx(-0.1) and drop_of(worse) == pytest.approx(0.1)
    within, p = p_values(better, 0.2, 0)
    assert within <= ALPHA and p <= ALPHA
    within, p = p_values(worse, 0.2, 0)
    assert within <= ALPHA and p == 1.0
    assert p_values(worse, 0.05, 0)[0] > ALPHA


def test_quotient_of_sums_is_no_mean_of_quotients():
    """F1: a cluster with more to decide weighs more."""
    sums, nothing = np.array([[2.0, 0], [2.0, 18]]), np.array([[0.0, 0], [2.0, 18]])
    pairs = Pairs(MultilabelMetrics.primary(), sums, nothing)
    assert float(quotient(*pairs.challenger.sum(1))) == 0.1
    assert drop_of(pairs) == -0.1


def test_resamples_have_the_spread_of_theory():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(500) < 0.7, rng.random(500) < 0.7
    drops = resampled_drops(accuracy(ours, theirs), 0)
    expected = (ours * 1.0 - theirs).std() / np.sqrt(500)
    assert drops.std() == pytest.approx(expected, rel=0.05)
    assert drops.mean() == pytest.approx((theirs * 1.0 - ours).mean(), abs=0.002)


def test_holm_matches_his_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_p_value_of_being_better_is_the_same_alone(quick):
    rng = np.random.default_rng(0)
    theirs = np.abs(rng.normal(size=200))
    found = [errors(theirs + rng.normal(-0.05, 0.3, 200), theirs), next(worlds(1, 300, 0.01, 0.04))]
    assert [p_better(pairs, 0) for pairs in found] == [
        p_values(pairs, 0.1, 0)[1] for pairs in found
    ]
