"""Noise promotes nothing, and what is better is found: the tests that compare two models."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from components.common.errors import InputError
from components.data.tables import SHARES, write_table
from components.evaluate import compare as module
from components.evaluate.compare import (
    Pairs,
    compare,
    compared,
    holm,
    mcnemar,
    names_of,
    resampled,
)
from components.evaluate.evaluation import EXAM, PARTS

ALPHA = 0.05


def accuracy(ours: np.ndarray, theirs: np.ndarray, questions: int = 1) -> Pairs:
    """Pairs from the right answers in each unit of so many questions."""
    whole = np.full(len(ours), float(questions))
    return Pairs("accuracy", ours * 1.0, whole, theirs * 1.0, whole)


def worlds(count: int, units: int, lost: float, gained: float):
    """Pairs of models of which the champion alone is right with a chance `lost`, and so on."""
    chance = np.random.default_rng(0)
    for _ in range(count):
        drawn = chance.random(units)
        ours = (drawn >= lost) & (drawn < 0.9)  # what is left, both get wrong
        theirs = (drawn < lost) | ((drawn >= lost + gained) & (drawn < 0.9))
        yield accuracy(ours, theirs)


@pytest.fixture
def quick(monkeypatch):
    """Fewer resamples, since many worlds are looked at."""
    monkeypatch.setattr(module, "RESAMPLES", 499)


def test_mcnemar_is_the_sum_of_the_binomial_tail():
    assert mcnemar(10, 3) == pytest.approx((286 + 78 + 13 + 1) / 2**13)
    assert mcnemar(3, 10) > 0.5
    assert mcnemar(0, 0) == mcnemar(0, 5) == 1.0


def test_an_equal_challenger_is_called_better_as_seldom_as_confidence_says(quick):
    found = [compare("", pairs, 0.05, 0).p_better for pairs in worlds(400, 300, 0.04, 0.04)]
    assert 0 < np.mean(np.array(found) <= ALPHA) <= ALPHA


def test_a_better_challenger_is_found(quick):
    found = [compare("", pairs, 0.05, 0).p_better for pairs in worlds(100, 1000, 0.01, 0.04)]
    assert np.mean(np.array(found) <= ALPHA) > 0.9


def test_one_that_is_worse_by_the_margin_gets_by_as_seldom_as_confidence_says(quick):
    found = [compare("", pairs, 0.05, 0).p_within for pairs in worlds(400, 300, 0.07, 0.02)]
    rate = np.mean(np.array(found) <= ALPHA)
    assert 0 < rate <= stats.binom.ppf(0.99, 400, ALPHA) / 400


def test_an_equal_one_gets_by_if_there_are_questions_enough(quick):
    found = [compare("", pairs, 0.03, 0).p_within for pairs in worlds(100, 2000, 0.02, 0.02)]
    assert np.mean(np.array(found) <= ALPHA) > 0.9


def test_that_no_answer_differs_says_little_about_few_questions():
    for units, sure in ((40, False), (2000, True)):
        found = compare("", accuracy(np.ones(units), np.ones(units)), 0.005, 0)
        assert (found.p_within <= ALPHA) == sure
        assert (found.drop, found.p_better) == (0.0, 1.0)


def test_a_thousand_questions_about_one_image_are_one_unit():
    """Six images more that are right, with all their questions, are what six coins may show."""
    ours, theirs = np.full(50, 20.0), np.full(50, 20.0)
    theirs[:4] = 0
    found = compare("", accuracy(ours, theirs, questions=20), 0.01, 0)
    assert found.units == 50 and found.drop == pytest.approx(-0.08)
    assert found.p_better == mcnemar(4, 0) > ALPHA


def test_more_gains_do_not_outweigh_a_greater_loss():
    """Nine images with one right answer more, three with all of them lost."""
    ours, theirs = np.full(100, 10.0), np.full(100, 10.0)
    theirs[:9] = 9
    ours[9:12] = 0
    found = compare("", accuracy(ours, theirs, questions=10), 0.5, 0)
    assert found.drop > 0 and found.p_better == 1.0


def test_an_error_is_better_the_smaller_it_is():
    chance = np.random.default_rng(0)
    theirs = np.abs(chance.normal(size=400))
    ones = np.ones(400)
    better, worse = (
        compare("", Pairs("mean_absolute_error", theirs + shift, ones, theirs, ones), 0.2, 0)
        for shift in (-0.1, 0.1)
    )
    assert better.drop == pytest.approx(-0.1) and better.p_better <= ALPHA
    assert worse.drop == pytest.approx(0.1) and worse.p_better == 1.0
    assert better.p_within <= ALPHA and worse.p_within <= ALPHA
    tight = Pairs("mean_absolute_error", theirs + 0.1, ones, theirs, ones)
    assert compare("", tight, 0.05, 0).p_within > ALPHA


def test_a_quotient_of_sums_is_no_mean_of_quotients():
    """F1: a unit with more to decide weighs more."""
    pairs = Pairs("f1", np.array([2.0, 0]), np.array([2.0, 18]), np.zeros(2), np.array([2.0, 18]))
    assert compare("", pairs, 0.5, 0).challenger == 0.1


def test_resamples_have_the_spread_that_theory_gives():
    chance = np.random.default_rng(0)
    ours, theirs = chance.random(500) < 0.7, chance.random(500) < 0.7
    drops = resampled(accuracy(ours, theirs), 0)
    expected = (ours * 1.0 - theirs).std() / np.sqrt(500)
    assert drops.std() == pytest.approx(expected, rel=0.05)
    assert drops.mean() == pytest.approx((theirs * 1.0 - ours).mean(), abs=0.002)


def test_holm_is_as_in_his_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def write_exam(folder, tasks: dict[str, list[float]]):
    """An exam in which each unit has one question about each task."""
    rows = [
        (task, "image", str(unit), part, 1.0)
        for task, parts in tasks.items()
        for unit, part in enumerate(parts)
    ]
    write_table(folder / PARTS, pd.DataFrame(rows, columns=list(SHARES.columns)), SHARES)
    (folder / EXAM).write_text(json.dumps({"compared": dict.fromkeys(tasks, "accuracy")}))
    return folder


def test_a_task_that_only_one_of_them_knows_decides(tmp_path):
    old = write_exam(tmp_path / "old", {"shape": [1.0] * 30})
    new = write_exam(tmp_path / "new", {"shape": [1.0] * 30, "colour": [1.0, 0.0] * 15})
    gained = compared("accuracy/colour/image", 0.1, (new, old), 0)
    assert (gained.challenger, gained.champion, gained.p_within, gained.p_better) == (
        0.5,
        None,
        0,
        0,
    )
    lost = compared("accuracy/colour/image", 0.1, (old, new), 0)
    assert (lost.challenger, lost.champion, lost.p_within, lost.p_better) == (None, 0.5, 1, 1)


def test_a_metric_that_there_is_not_is_refused_with_the_nearest(tmp_path):
    exam = write_exam(tmp_path / "exam", {"shape": [1.0] * 3})
    assert names_of(exam) == ["accuracy/shape/image"]
    with pytest.raises(
        InputError, match="by 'accuracy/shape/imag'. Did you mean 'accuracy/shape/i"
    ):
        compared("accuracy/shape/imag", 0.1, (exam, exam), 0)
