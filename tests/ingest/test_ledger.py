"""The ledger answers as a table in memory would, with its caches or without."""

import pytest

from components.common.errors import Problem
from components.ingest import ledger as module
from components.ingest.ledger import Ledger

BAD = Problem("image_empty", "the file is empty")


@pytest.fixture(params=[1, 8192], ids=["tiny cache", "large cache"])
def ledger(request, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CACHE_SIZE", request.param)
    with Ledger(tmp_path / "ledger") as opened:
        yield opened
    assert list(tmp_path.iterdir()) == []


def test_row_is_new_once(ledger):
    places = {"a.csv:2": "a", "a.csv:3": "b", "b.csv:2": "a", "b.csv:3": "a"}
    assert [ledger.add_row(row, place) for place, row in places.items()] == [
        None, None, "a.csv:2", "a.csv:2",
    ]  # fmt: skip


def test_file_is_known_with_asset_or_problem(ledger):
    ledger.add_file("image", "a.png", "A")
    ledger.add_file("image", "b.png", BAD)
    for _ in range(2):  # the second time from the cache
        assert ledger.file("image", "a.png") == "A"
        assert ledger.file("image", "b.png") == BAD
        assert ledger.file("audio", "a.png") is None


def test_duplicates_are_usable_files_of_known_bytes(ledger):
    for key, found in {"a.png": "A", "copy.png": "A", "b.png": "B", "bad.png": BAD}.items():
        ledger.add_file("image", key, found)
    assert [ledger.add_asset("image", asset) for asset in "AAB"] == [True, False, True]
    assert (ledger.duplicates("image"), ledger.duplicates("audio")) == (1, 0)


def test_uses_are_counted_by_split(ledger):
    for modality, asset in (("image", "A"), ("image", "B"), ("image", "C"), ("audio", "A")):
        ledger.add_asset(modality, asset)
    for asset, split in ("A", "train"), ("A", "test"), ("B", "train"), ("A", "train"):
        ledger.add_use("image", asset, split)
    assert [ledger.count("image", split) for split in ("train", "validation", "test")] == [2, 0, 1]
    assert ledger.count("audio", "train") == 0
    assert ledger.leaks("image", 5) == (1, {"A": ["train", "test"]})
    assert ledger.later_split("image", "A", "train") == "test"
    assert ledger.later_split("image", "A", "test") is None
    assert ledger.later_split("image", "B", "train") is None


def test_leaks_are_listed_up_to_limit(ledger):
    for asset in "CAB":
        ledger.add_asset("image", asset)
        for split in ("validation", "train"):
            ledger.add_use("image", asset, split)
    count, listed = ledger.leaks("image", 2)
    assert (count, list(listed)) == (3, ["A", "B"])


def test_uses_can_be_cleared(ledger):
    ledger.add_asset("image", "A")
    ledger.add_use("image", "A", "test")
    ledger.clear_uses()
    assert ledger.count("image", "test") == 0
    ledger.add_use("image", "A", "test")
    assert ledger.count("image", "test") == 1


def test_row_without_split_learns_that_of_later_row(ledger):
    for row, split in {"a": None, "b": "train", "c": "validation"}.items():
        ledger.add_row(row)
        ledger.add_group(row, "speaker", "anna", split)
    ledger.add_row("alone")
    assert ledger.given_split("speaker", "anna") == "validation"
    assert ledger.given_split("speaker", "bo") is None
    assert ledger.late_split("speaker", "a") == ("anna", "validation")
    assert [ledger.late_split("speaker", row) for row in ("b", "c", "alone")] == [None] * 3
    assert (ledger.has_late_splits("speaker"), ledger.has_late_splits("image")) == (True, False)
    assert (ledger.group("a"), ledger.group("alone")) == ("anna", None)
