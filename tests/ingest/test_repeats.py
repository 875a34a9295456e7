"""Samples that differ by their id only are counted, and told where they lie."""

from pathlib import Path

import pandas as pd
import pytest

from components.common.files import read_json
from components.ingest.repeats import about_repeats
from tests.ingest.stage_rows import row
from tests.support.media import png, wav

COLUMNS = ["split", "image_id", "answer", "tags"]
FIRST = ("train", "a", "yes", ["x", "y"])


def about(folder: Path, *rows: tuple) -> list[str]:
    """Return what is said of samples, each with an id of its own."""
    table = pd.DataFrame(rows, columns=COLUMNS).assign(sample_id=[*map(str, range(len(rows)))])
    table.to_parquet(folder / "samples.parquet")
    return about_repeats(folder / "samples.parquet")


@pytest.mark.parametrize(
    "other",
    [("train", "b", "yes", ["x", "y"]), ("train", "a", None, ["x", "y"]), ("test", "a", "yes", [])],
)
def test_samples_that_differ_are_none(tmp_path, other):
    assert about(tmp_path, FIRST, other) == []


def test_repeats_are_counted(tmp_path):
    (said,) = about(tmp_path, FIRST, ("train", "b", "yes", []), FIRST, FIRST)
    assert said.startswith("2 of 4 repeat another one in all but its id, all in its split. Remove")


def test_repeats_across_splits_are_told(tmp_path):
    other = ("train", None, None, ["x"])
    (said,) = about(tmp_path, FIRST, ("test", *FIRST[1:]), other, other)
    assert "2 of 4 repeat another one in all but its id, 1 of them across splits, so" in said
    assert "let ingest.splits.group name what they share" in said


def test_repeats_are_found_in_any_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("components.data.tables.BATCH_ROWS", 2)
    others = [("train", str(n), "yes", []) for n in range(5)]
    (said,) = about(tmp_path, FIRST, *others, FIRST)
    assert said.startswith("1 of 7 repeat")


def test_ingest_reports_repeats(ingest, caplog):
    caplog.set_level("INFO")
    media = {"image": None, "audio": None, "text": None}
    rows = [row(n, split, **media) for n, split in (("a", "train"), ("b", "train"), ("c", "test"))]
    others = [row(str(n), image=png(n), audio=wav(n), answer="no") for n in range(4)]
    assert ingest([*rows, *others]) == 0
    (said,) = read_json(Path("report.json"))["remarks"]["samples"]
    assert said.startswith("2 of 7 repeat another one in all but its id, 2 of them across splits")
    assert f"samples: {said}" in caplog.text


def test_without_repeats_nothing_is_said(ingest):
    rows = [row(str(n), answer="yes" if n % 2 else "no", audio=wav(n)) for n in range(6)]
    assert ingest(rows) == 0
    assert "samples" not in read_json(Path("report.json"))["remarks"]
