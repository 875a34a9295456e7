"""Which texts are accepted, and why the others are refused."""

import pytest

from components.common.errors import Problem
from components.modalities.text.decoding import MAX_CHARACTERS
from components.modalities.text.inspection import fingerprint, inspect


@pytest.mark.parametrize(
    ("text", "characters"),
    {
        "English": ("is it red?", 10),
        "one letter": ("x", 1),
        "Chinese": ("这是什么颜色", 6),
        "Japanese": ("これは赤いですか", 8),
        "right to left": ("האם זה אדום?", 12),
        "marks of direction": ("\u202eabc\u202c", 5),
        "a family of one emoji": ("👨\u200d👩\u200d👧", 5),
        "a combining accent": ("cafe\u0301", 4),
        "a byte-order mark": ("\ufeffis it red?", 10),
        "Windows line ends": ("one\r\ntwo\r\n", 7),
        "a control character": ("is\x1bit", 5),
        "as long as it may be": ("x" * MAX_CHARACTERS, MAX_CHARACTERS),
        "an emoji younger than Python": ("\U0001fae8", 1),
    }.values(),
)
def test_facts_describe_text(text, characters):
    facts = inspect(text.encode())
    assert not isinstance(facts, Problem) and facts["characters"] == characters


def test_fingerprint_is_that_of_letters_and_digits():
    texts = ["Is it a cafe\u0301? No. 1", "is  it a CAFÉ - no 1!", "is it a cafe no 1"]
    first, same, other = (fingerprint(text) for text in texts)
    assert first == same != other
    assert fingerprint("is it? ...!!!") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "nothing": (b"", "text_empty"),
        "white space": (" \t\r\n\u3000\u00a0\u2028".encode(), "text_empty"),
        "a byte-order mark alone": ("\ufeff".encode(), "text_empty"),
        "marks of no letter": ("\ufe0f\u0301\u3164\u2800".encode(), "text_empty"),
        "nothing to be seen": ("\u200b\u200d\u202e\x07".encode(), "text_empty"),
        "Latin-1": ("é".encode("latin-1"), "text_not_utf8"),
        "UTF-16": ("é".encode("utf-16"), "text_not_utf8"),
        "a lone surrogate": (b"\xed\xa0\x80", "text_not_utf8"),
        "an overlong letter": (b"\xc1\x81", "text_not_utf8"),
        "half a letter": ("é".encode()[:1], "text_not_utf8"),
        "NUL": (b"is it\x00 red?", "text_nul"),
        "UTF-16 without a mark": ("is it red?".encode("utf-16-le"), "text_nul"),
        "a megabyte": (b"x" * 2**20, "text_too_long"),
        "a character too many": ("é".encode() * (MAX_CHARACTERS + 1), "text_too_long"),
    }.values(),
)
def test_unusable_text_has_reason(content, reason):
    assert inspect(content).reason == reason


def test_detail_says_where():
    assert "character 6" in inspect(b"is it\x00 red?").detail
    assert "position 3" in inspect(b"abc\xff").detail
    assert f"{2**20} characters, expected at most {MAX_CHARACTERS}" in inspect(b"x" * 2**20).detail
