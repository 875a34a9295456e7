"""Mean and standard deviation over folds."""

import statistics

import pytest

from flows.crossvalidation.results import content, spreads, table
from tests.flows.crossvalidation.folds import fold

NAME = "accuracy/answer/image"
FOLDS = [fold(0.5), fold(0.75, text=0.25), fold(1.0)]


def test_primary_metrics_have_mean_and_deviation_of_a_sample():
    found = content(FOLDS)["figures"]
    assert set(found) == {NAME, "accuracy/answer/text", "mean_absolute_error/age/image"}
    assert found[NAME]["mean"] == 0.75
    assert found[NAME]["std"] == pytest.approx(statistics.stdev([0.5, 0.75, 1.0]))
    assert found[NAME]["folds"] == [0.5, 0.75, 1.0]


def test_figure_that_a_fold_lacks_is_that_of_the_others():
    found = content(FOLDS)["figures"]["accuracy/answer/text"]
    assert found == {"mean": 0.25, "std": None, "folds": [None, 0.25, None]}


def test_definitions_are_those_of_the_figures():
    assert [row["name"] for row in content(FOLDS)["definitions"]] == [
        "accuracy",
        "mean_absolute_error",
    ]


def test_table_is_aligned():
    header, *rows = table(spreads(FOLDS)).splitlines()
    assert header.split() == ["figure", "mean", "std", "fold", "1", "fold", "2", "fold", "3"]
    assert len({len(row) for row in (header, *rows)}) == 1
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert cells[NAME] == ["75.00%", "25.00%", "50.00%", "75.00%", "100.00%"]
    assert cells["accuracy/answer/text"] == ["25.00%", "–", "–", "25.00%", "–"]
    assert cells["mean_absolute_error/age/image"] == ["7.5", "2.5", "5", "7.5", "10"]
