"""What the stage prints when it has ended."""

from components.common.metrics import Metric
from components.register.__main__ import table_lines

ERROR = Metric("mean_absolute_error", higher_is_better=False, unit="label", primary=True)


def test_metric_is_a_table_of_tasks_and_subsets():
    by_task = {"size": {"image": 12.34567, "image-text": 0.5}, "age": {"image": 3.0}}
    assert [line.split() for line in table_lines(ERROR, by_task, "validation")] == [
        [],
        ["mean", "absolute", "error", "on", "the", "validation", "split"],
        ["size", "age"],
        ["image", "12.35", "3"],
        ["image-text", "0.5", "–"],
    ]


def test_fractions_are_in_per_cent():
    lines = table_lines(Metric("accuracy", primary=True), {"a": {"image": 0.5}}, "test")
    assert lines[3].split() == ["image", "50.00%"]
