"""Corrupted texts are texts, worse with each severity."""

import difflib

import pytest
from torchaudio.functional import edit_distance

from components.common.hashing import content_id
from components.modalities.corruption import SEVERITIES
from components.modalities.text.corruptions import CORRUPTIONS, NEIGHBOURS
from components.modalities.text.decoding import decode
from tests.support.corrupting import MEDIA, assert_distance_grows, corrupted

SMALLEST = [b"a", b"?", b" ?! ", "é😀".encode()]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_text_is_neither_empty_nor_much_longer(name):
    for severity in SEVERITIES:
        for asset, content in corrupted(CORRUPTIONS[name], severity).items():
            before, after = decode(MEDIA["text"][asset]), decode(content)
            assert after.strip() and len(after) <= 2 * len(before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name):
    def distance(before: bytes, after: bytes) -> float:
        matcher = difflib.SequenceMatcher(None, decode(before), decode(after), autojunk=False)
        return 1 - matcher.ratio()

    assert_distance_grows(CORRUPTIONS[name], distance)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_smallest_texts_can_be_corrupted(name):
    for severity in SEVERITIES:
        for content in SMALLEST:
            assert decode(CORRUPTIONS[name](severity, content_id(content), content))


def test_typos_hit_given_fraction_of_letters():
    """Levenshtein counts one of the four kinds, a letter after the next, as two edits."""
    text = "the quick brown fox jumps over the lazy dog"
    ids = [content_id(bytes([n])) for n in range(100)]
    many = [CORRUPTIONS["typos"](4, asset, text.encode()) for asset in ids]
    edits = sum(edit_distance(text, changed.decode()) for changed in many)
    assert edits / (100 * sum(map(str.isalpha, text))) == pytest.approx(0.15 * 5 / 4, rel=0.1)


def test_typos_hit_neighbouring_keys():
    assert set(NEIGHBOURS["s"]) == set("awedxz")
    assert set(NEIGHBOURS["q"]) == set("wa")
    assert all(key in NEIGHBOURS[other] for key in NEIGHBOURS for other in NEIGHBOURS[key])
