"""Names that people take for the same."""

import pytest

from components.common.spelling import alike, like_a_number, printable, quoted


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "Cat", "ca t", "cat\u00a0"],
        ["01", "1", "1.0", "+1", "1e0"],
        ["1.5", "1.50"],
        ["v1.1", "v1.10"],
        ["ice cream", "ice-cream", "ice_cream"],
        ["cat", "c\u0430t", "cat\u200b", "\ufeffcat", "ca\u00adt", "cat\x01", "ｃａｔ"],
        ["Bob", "B\u043eb", "\u0392ob"],
        ["\u2764", "\u2764\ufe0f"],
        ["caf\u00e9", "cafe\u0301"],
    ],
)
def test_names_that_look_the_same_are_alike(names):
    assert alike([*names, "dog"]) == [sorted(names)]


@pytest.mark.parametrize(
    "names",
    [["-1", "1"], ["v1.1", "v1.11"], ["a-b", "ac"], ["👍", "👍🏽"], ["é", "e"], ["nan", "n"]],
)
def test_names_that_differ_are_not(names):
    assert alike(names) == []


@pytest.mark.parametrize(
    "text", ["1,234.50", "1,5", "$5", "€ 7", "12 kg", "-7 %", "USD 3", "10 000"]
)
def test_number_with_unit_or_marks_is_recognised(text):
    assert like_a_number(text)


@pytest.mark.parametrize("text", ["5", "-1.5e3", "nan", "2024-01-02", "c17", "room 12", "", "-"])
def test_other_texts_are_not(text):
    assert not like_a_number(text)


def test_quoted_name_shows_what_cannot_be_seen_or_told_apart():
    assert quoted("c\u0430t") == r"'c\u0430t'"
    assert quoted("cat\u200b") == r"'cat\u200b'"
    assert quoted("кот") == "'кот'"
    assert quoted("café") == "'café'"


def test_printable_text_has_one_line_and_no_controls():
    assert printable("a\x1b[31m\nb\udce9") == r"a\x1b[31m\nb\udce9"
    assert printable("猫 🐈") == "猫 🐈"
    assert printable("x" * 99) == "x" * 80 + "…"
