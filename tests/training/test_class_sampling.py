"""Class sampling: every stretch of what is drawn has each class about equally often."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from components.training.class_sampling import draw_evenly

COUNTS = (90, 9, 1)  # samples of each class
CODES = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))


def members(codes: Tensor = CODES) -> Tensor:
    """Return the classes of samples; -1 is none."""
    return codes[:, None] == torch.arange(len(COUNTS))


def drawn(seed: int, classes: Tensor, count: int) -> Tensor:
    torch.manual_seed(seed)
    return draw_evenly(classes, count)


@pytest.mark.parametrize("size", [3, 10, 32])
def test_batches_have_every_class_equally_often(size):
    for batch in drawn(0, members(), 320).split(size):
        counts = CODES[batch].bincount(minlength=len(COUNTS))
        assert counts.max() - counts.min() <= 2, counts


def test_samples_of_a_class_come_once_before_any_comes_again():
    found = drawn(0, members(), 300)
    for code, count in enumerate(COUNTS):
        times = Counter(found[CODES[found] == code].tolist())
        assert len(times) == count and max(times.values()) - min(times.values()) <= 1


def test_order_is_that_of_the_seed():
    one, again, other = (drawn(seed, members(), 50).tolist() for seed in (0, 0, 1))
    assert one == again != other


def test_samples_of_no_class_keep_their_part():
    codes = torch.cat([CODES, torch.full((100,), -1)])
    found = codes[drawn(0, members(codes), 200)]
    assert found.add(1).bincount().tolist() == pytest.approx([100, 33, 33, 33], abs=1)
    assert 20 < (found[:100] == -1).sum() < 80  # not all at one end


def test_without_classes_all_are_drawn():
    found = drawn(0, torch.zeros(20, 3, dtype=torch.bool), 20)
    assert found.sort().values.tolist() == list(range(20))


def test_sample_of_several_classes_is_drawn_for_each():
    classes = torch.tensor([[True, False]] * 8 + [[True, True]])
    found = Counter(drawn(0, classes, 90).tolist())
    assert found[8] == pytest.approx(45 + 5, abs=2)
