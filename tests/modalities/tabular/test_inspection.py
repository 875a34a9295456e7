"""Rows are JSON objects of texts and numbers; others are refused with a reason."""

import json

import pytest

from components.common.errors import Problem
from components.modalities.modality import Preview
from components.modalities.tabular.decoding import decode
from components.modalities.tabular.inspection import inspect, preview


def row(**cells) -> bytes:
    return json.dumps(cells).encode()


def test_cells_that_hold_something_are_counted():
    assert inspect(row(age=3, breed="tabby", weight=None, owner=" ", colour="N/A")) == {"cells": 2}


def test_cells_read_the_same_from_any_format():
    """A whole number is the same with and without decimals, as CSV and Parquet give it."""
    text = decode(row(age="3", weight="4.5", tame="true"))
    assert (
        decode(row(age=3.0, weight=4.5, tame=True))
        == decode(
            row(
                age=3,
                **{
                    "weight": 4.5,
                    "tame": True,
                },
            )
        )
        == text
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "tabular_malformed"),
        (b"[1, 2]", "tabular_malformed"),
        (b'"age"', "tabular_malformed"),
        (b"\xff", "tabular_malformed"),
        (row(age=[3]), "tabular_malformed"),
        (row(age={"years": 3}), "tabular_malformed"),
        (row(), "tabular_empty"),
        (row(age=None, breed="?"), "tabular_empty"),
    ],
)
def test_other_content_is_refused(content, reason):
    problem = inspect(content)
    assert isinstance(problem, Problem) and problem.reason == reason


def test_preview_shows_cells():
    assert preview(row(age=3, breed="tabby")) == Preview(text="age: 3, breed: tabby")
