"""Corrupted rows are rows, worse with each severity."""

import pytest

from components.common.hashing import content_id
from components.modalities.corruption import SEVERITIES
from components.modalities.tabular.corruptions import CORRUPTIONS
from components.modalities.tabular.decoding import decode, number
from tests.support.corrupting import MEDIA, assert_distance_grows, corrupted

SMALLEST = [b'{"age": 3}', b'{"breed": "tabby"}']


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_row_keeps_its_columns_and_is_not_empty(name):
    for severity in SEVERITIES:
        for asset, content in corrupted(CORRUPTIONS[name], severity).items():
            assert set() < set(decode(content)) <= set(decode(MEDIA["tabular"][asset]))
        for content in SMALLEST:
            assert decode(CORRUPTIONS[name](severity, content_id(content), content))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name):
    def distance(before: bytes, after: bytes) -> float:
        one, other = decode(before), decode(after)
        if name != "number_noise":
            return sum(one[column] != other.get(column) for column in one)
        return sum(
            abs(number(other[column]) / number(cell) - 1)
            for column, cell in one.items()
            if number(cell) == number(cell)
        )

    assert_distance_grows(CORRUPTIONS[name], distance)


def test_wrong_column_loses_no_cell():
    for asset, content in corrupted(CORRUPTIONS["wrong_column"], 5).items():
        before = decode(MEDIA["tabular"][asset])
        assert sorted(decode(content).values()) == sorted(before.values())
