"""What modalities say about assets that can be used and look like mistakes."""

import json

import numpy as np
import pytest
from PIL import Image

from components.modalities.registry import MODALITIES, remarks_of
from tests.support.media import encoded, picture, wav

NUMBERS = [f"{row}.5" for row in range(40)]


def said(m: str, contents: list[bytes]) -> list[str]:
    part = remarks_of(m)
    assert part is not None
    return part.remarks(contents)


def of_column(cells: list[str]) -> list[str]:
    return said("tabular", [json.dumps({"x": cell, "n": 1}).encode() for cell in cells])


@pytest.mark.parametrize("m", MODALITIES)
def test_nothing_is_said_of_nothing(m):
    assert said(m, []) == []


@pytest.mark.parametrize(
    ("cells", "part"),
    [
        (
            [f"{n},5" for n in range(40)],
            'set ingest.source.decimal: ",", or write the numbers alone',
        ),
        (
            [f"$ {n}" for n in range(40)],
            "such as '$ 0', '$ 1', '$ 2' are categories and no numbers",
        ),
        ([f"1,{n}" for n in range(100, 140)], "no numbers; write the numbers alone"),
        (
            [*NUMBERS[:30], *["high"] * 9],
            "77% of its cells are numbers, but for others, such as 'hi",
        ),
        ([*NUMBERS, "-999"], "-999 lies far from the other numbers, 0.5 to 39.5"),
        ([f"2024-01-{n:02}" for n in range(1, 29)], "dates such as '2024-01-01'"),
        ([f"user {n}" for n in range(60)], "nearly all cells differ, such as 'user 0'"),
        (["cat", "Cat", "dog"] * 9, "'Cat' and 'cat' differ in case, blanks or what"),
    ],
)
def test_odd_columns_are_named(cells, part):
    (remark,) = of_column(cells)
    assert remark.startswith("column 'x': ") and part in remark


@pytest.mark.parametrize(
    "cells", [NUMBERS, ["cat", "dog"] * 9, ["NA", *NUMBERS], ["a 1", "b 2"] * 9]
)
def test_usual_columns_are_not(cells):
    assert of_column(cells) == []


def test_texts_that_were_decoded_wrongly_are_counted():
    texts = ["schÃ¶n", "it\u00e2\u20ac\u2122s", "\ufffd", "schön", "Â", "5 â"]
    (remark,) = said("text", [text.encode() for text in texts])
    assert remark.startswith("3 of 6 texts, with 'Ã¶', were decoded wrongly before")


def test_texts_with_markup_are_counted():
    texts = [b"<p>a cat</p>", b"cats &amp; dogs", b"1 < 2 > 0", b"a <3 b"]
    (remark,) = said("text", texts)
    assert remark.startswith("2 of 4 texts, with '<p>', hold markup")
    assert said("text", [*texts, *[b"a dog"] * 30]) == []


def test_images_of_one_colour_are_counted():
    black = encoded(Image.new("RGB", (20, 20)), "PNG")
    (remark,) = said("image", [black, encoded(picture(), "PNG")])
    assert remark.startswith("1 of 2 images")
    assert said("image", [encoded(picture(), "PNG")]) == []


def test_silent_sounds_are_counted():
    """Also those whose channels cancel each other out."""
    sound = np.sin(np.arange(4000) / 9) / 2
    contents = [wav(np.zeros(4000)), wav(np.stack([sound, -sound], axis=1)), wav(sound)]
    (remark,) = said("audio", contents)
    assert remark.startswith("2 of 3 sounds")
    assert said("audio", contents[2:]) == []
