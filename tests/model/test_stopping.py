"""Training ends when a metric no longer improves."""

import math

import pytest

from components.common.errors import InputError
from components.training.early_stopping import Watch


def history(values, series="accuracy (all)"):
    rows = [(epoch, series, "answer", value) for epoch, value in enumerate(values)]
    other = [(epoch, "loss", "answer", 9.0 - epoch) for epoch in range(len(values))]
    return sorted(rows + other)


def ends_after(watch, values, **options) -> int | None:
    """After how many epochs training ends."""
    for count in range(len(values) + 1):
        if watch.over(history(values[:count], **options)):
            return count
    return None


@pytest.mark.parametrize(
    ("values", "best", "end"),
    [
        ([0.1, 0.5, 0.4, 0.3, 0.9], 1, 4),
        ([0.5, 0.5, 0.5], 0, 3),  # as good is no improvement
        ([0.1, 0.2, 0.3, 0.4], 3, None),
        ([0.5, 0.4, 0.6, 0.5, 0.7], 4, None),
        ([0.5, math.nan, 0.4], 0, 3),
        ([math.nan, 0.1, 0.2], 2, None),
    ],
)
def test_it_ends_after_so_many_epochs_without_improvement(values, best, end):
    watch = Watch("accuracy (all)/answer", patience=2)
    assert ends_after(watch, values) == end
    assert watch.best(history(values[:end])) == best


def test_an_error_improves_downwards():
    watch = Watch("absolute_error (all)/answer", patience=1)
    rows = history([0.5, 0.3, 0.4], series="absolute_error (all)")
    assert watch.best(rows) == 1
    assert watch.over(rows)


def test_a_typo_gets_the_nearest_metric():
    measured = ["accuracy (all)/answer", "accuracy (image+text)/answer", "f1 (all)/tags"]
    Watch(measured[0], 1).check(measured)
    with pytest.raises(InputError) as error:
        Watch("acuracy (all)/answer", 1).check(iter(measured))
    assert "train.early_stopping.metric: found 'acuracy (all)/answer'" in str(error.value)
    assert "Did you mean 'accuracy (all)/answer'?" in str(error.value)
