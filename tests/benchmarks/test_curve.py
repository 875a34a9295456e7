"""Learning curves: which rows a cell learns from, what is kept, and the table."""

import json
import subprocess
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import curve, experiments
from benchmarks.curve import Cell, limited
from benchmarks.public_sets import LABEL, THING, Package
from components.common.hashing import content_id

THINGS = 200
TABLE = pd.DataFrame(
    [
        {"name": f"name {row} of {thing}", LABEL: "ab"[thing % 2], THING: f"thing {thing}"}
        for thing in range(THINGS)
        for row in range(3)
    ]
)


def counts(table: pd.DataFrame, split: str) -> list[int]:
    return table[table["split"] == split][LABEL].value_counts().sort_index().tolist()


def test_training_and_validation_are_limited_per_class():
    found = limited(TABLE, "10", seed=0)
    assert (counts(found, "train"), counts(found, "validation")) == ([10, 10], [3, 3])
    assert counts(found, "test") == counts(limited(TABLE, "all", seed=0), "test")
    assert len(limited(TABLE, "all", seed=0)) == len(TABLE)


def test_smaller_sets_are_part_of_larger_ones():
    small, large = (set(limited(TABLE, size, seed=1)["name"]) for size in ("10", "30"))
    assert small < large
    assert small != set(limited(TABLE, "10", seed=2)["name"])


def test_thing_is_in_one_split():
    splits = limited(TABLE, "all", seed=0).groupby(THING)["split"]
    assert (splits.nunique() == 1).all()
    assert set(splits.first()) == {"train", "validation", "test"}


def test_given_splits_stay():
    given = TABLE.assign(split=["train", "test"] * (len(TABLE) // 2))
    found = limited(given, "10", seed=0)
    assert set(found.index[found["split"] == "test"]) == set(given.index[1::2])


@pytest.fixture
def finished(tmp_path, monkeypatch) -> Path:
    """A work folder with two finished cells; the others would fail."""
    monkeypatch.setattr(curve, "run", lambda cell, work: pytest.fail(f"{cell} runs again"))
    for seed, fused in enumerate((0.5, 0.7)):
        model = {"image": 0.25, "text": 0.5, "image-text": fused}
        baselines = {"majority": 0.1, "image": 0.3, "text": 0.2, "image-text": 0.55}
        content = {"model": model, "baselines": baselines}
        Cell("emoji", "10", seed).result(tmp_path).write_text(json.dumps(content))
    return tmp_path


def test_finished_cells_are_kept(finished, capsys):
    words = ["curve", "--data", "emoji", "--sizes", "10", "--seeds", "0", "1"]
    experiments.main([*words, "--work", str(finished)])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| emoji | 10 | 60.0 | 55.0 | +5.0 | image 25.0 (30.0), text 50.0 (20.0) |"
    ]


def test_package_is_checked_and_unpacked_once(tmp_path, monkeypatch):
    file = tmp_path / "made.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("content.txt", "what it holds")
    calls = []

    def download(words, cwd, **_):
        calls.append(words[-1])
        (cwd / "things-1.0.whl").write_bytes(file.read_bytes())

    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(ValueError, match="expected 0000"):
        Package("things", "1.0", "0000", is_wheel=True).unpacked(tmp_path)
    package = Package("things", "1.0", content_id(file.read_bytes()), is_wheel=True)
    for _ in range(2):
        assert (package.unpacked(tmp_path) / "content.txt").read_text() == "what it holds"
    assert calls == ["things==1.0"] * 2
