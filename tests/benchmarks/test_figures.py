"""Comparisons of two values, and Markdown."""

from benchmarks.figures import Comparison, Figure, equality, markdown_table


def test_ratio_is_taken_within_a_repetition():
    found = Comparison.of([(1.0, 1.0), (20.0, 10.0), (3.0, 1.0)])
    assert found == Comparison(value=3.0, reference=1.0, ratio=2.0)


def test_equality_in_words():
    assert equality("a lock", b"a", b"a") == Figure("a lock", "the same bytes", "the same bytes")
    assert equality("a lock", b"a", b"b").measured == "DIFFERENT"


def test_table_is_markdown():
    assert list(markdown_table(["a", "b"], [["1", "2"]])) == ["| a | b |", "|---|---|", "| 1 | 2 |"]
