"""Numbers that may stand for unknown ones."""

import pytest

from components.common.far_numbers import far_numbers


@pytest.mark.parametrize(
    ("numbers", "far"),
    [
        (["-999.0", "1.0", "2.0", "30.0", "200.0", "500.0"], ["-999.0"]),
        (["0.0", "1.0", "2.0", "3.0", "5.0", "1000000.0"], ["1000000.0"]),
        (["-60.0", "0.0", "1.0", "2.0", "10.0", "99.0"], []),
        ([str(2.0**n) for n in range(12)], []),
        (["0.0", "1000.0"], []),
        ([], []),
    ],
)
def test_far_numbers_may_stand_for_unknown_ones(numbers, far):
    assert [name for name, _ in far_numbers(numbers)] == far


def test_range_is_that_of_the_others():
    assert far_numbers(["-99", "0", "1", "2", "2.5"]) == [("-99", "0 to 2.5")]
