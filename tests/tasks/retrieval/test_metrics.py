"""Metrics of retrieval, from ranks."""

import pytest

from components.tasks.retrieval.metrics import RETRIEVAL_METRICS, rank_metrics


def test_recall_and_median_rank():
    assert rank_metrics([7]) == {
        "recall_at_1": 0.0,
        "recall_at_5": 0.0,
        "recall_at_10": 1.0,
        "median_rank": 7.0,
    }
    found = rank_metrics([1, 5, 6, 10, 11, 1])
    assert found["recall_at_1"] == pytest.approx(2 / 6)
    assert found["recall_at_5"] == pytest.approx(3 / 6)
    assert found["recall_at_10"] == pytest.approx(5 / 6)
    assert found["median_rank"] == 5.5


def test_every_metric_is_defined():
    defined = {metric.name: metric for metric in RETRIEVAL_METRICS}
    assert list(defined) == list(rank_metrics([1]))
    assert [name for name, metric in defined.items() if metric.primary] == ["recall_at_1"]
    assert not defined["median_rank"].higher_is_better
    assert defined["median_rank"].format(5.5) == "5.5"
    assert defined["recall_at_5"].format(0.5) == "50.00%"
