"""Subsets of modalities."""

from components.data.subsets import subsets
from tests.support.tiny_model import PRESENT


def test_subsets_start_small_and_end_with_all():
    found = list(subsets(PRESENT))
    assert len(found) == len(set(found)) == 7
    assert [len(s) for s in found] == [1, 1, 1, 2, 2, 2, 3]
    assert found[-1] == PRESENT
    assert list(subsets(("text", "audio"))) == [("text",), ("audio",), ("text", "audio")]
