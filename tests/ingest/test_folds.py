"""Folds of a cross-validation: each group is in one, and the test split in none."""

import contextlib
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from components.common.files import read_json
from components.common.hashing import file_hash
from components.ingest.folds import choose_folds
from components.ingest.records import Record
from tests.ingest.stage_rows import asset_ids, reasons, row, run_stage, samples
from tests.support.media import png, wav

OF = 3
CLASSES = pd.Series(["common"] * 60 + ["rare"] * 12)


def said(number: int, split: str | None, speaker: str = "") -> Record:
    """Return a row with media of its own, of one of ten speakers and one of two classes."""
    media = {"image": png(number), "audio": wav(number)}
    columns = {"speaker": speaker or f"s{number % 10}"}
    return row(str(number), split, str(number // 10 % 2), columns, **media)


ROWS = [
    *(said(n, "train" if n % 3 else None) for n in range(40)),
    *(said(n, "test", "t") for n in range(90, 94)),
]
BY_SPEAKER = {"splits__group": "speaker", "splits__validation": 0.2, "splits__test": 0.0}
BY_HASH = {"splits__group": "speaker", "splits__validation": 0.2, "splits__test": 0.3}
BY_IMAGE = {"splits__validation": 0.2, "splits__test": 0.0, "on_leak": "allow"}


def held_out(found: pd.DataFrame) -> set[str]:
    return set(found.loc[found["split"] == "test", "sample_id"])


def run_folds(of: int = OF, rows=ROWS, **settings) -> list[pd.DataFrame]:
    """Return the samples of each fold."""
    found = []
    for number in range(1, of + 1):
        fold = {"of": of, "held_out": number}
        assert run_stage(rows, splits__fold=fold, max_bad_fraction=0.0, **settings) == 0
        found.append(samples())
    return found


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> list[pd.DataFrame]:
    """The samples of each fold by speaker."""
    with contextlib.chdir(tmp_path_factory.mktemp("folds")):
        return run_folds(**BY_SPEAKER, slices=["speaker"])


def test_class_that_one_fold_has_alone_is_not_bad(ingest):
    """Though no row may be; outside cross-validation such rows are."""
    alone = row("alone", "train", "2", {"speaker": "alone"}, image=png(50), audio=wav(50))
    splits = [set(found["sample_id"]) for found in run_folds(rows=[*ROWS, alone], **BY_SPEAKER)]
    assert ["alone" in ids for ids in splits].count(False) >= 1
    late = row("late", "test", "2", {"speaker": "t"}, image=png(51), audio=wav(51))
    assert ingest([*ROWS, late], max_bad_fraction=0.0, **BY_SPEAKER) == 2


def assert_disjoint_and_whole(folds: list[pd.DataFrame]) -> None:
    """Assert that every row but those of the test split is in one fold."""
    assert Counter(sample for found in folds for sample in held_out(found)) == Counter(
        str(n) for n in range(40)
    )


def test_folds_are_disjoint_and_cover_all_rows_but_test(folds):
    assert_disjoint_and_whole(folds)


def test_folds_by_image_are_disjoint_and_cover_all_rows_but_test(ingest):
    assert_disjoint_and_whole(run_folds(**BY_IMAGE))


def test_groups_are_whole(folds):
    for found in folds:
        assert (found.groupby("speaker")["split"].nunique() == 1).all()
        assert {"train", "test"} <= set(found["split"])


def test_other_groups_stay_in_their_splits(ingest, folds):
    assert ingest(ROWS, **BY_SPEAKER) == 0
    usual = samples().set_index("sample_id")["split"]
    for found in folds:
        rest = found[found["split"] != "test"].set_index("sample_id")["split"]
        assert rest.to_dict() == usual[rest.index].to_dict()


def test_test_split_is_left_alone_and_not_bad(ingest):
    fold = {"of": OF, "held_out": OF}
    assert ingest(ROWS, splits__fold=fold, max_bad_fraction=0.0, **BY_SPEAKER) == 0
    assert reasons() == {str(n): "left_alone" for n in range(90, 94)}
    assert read_json(Path("report.json"))["quarantine"] == {"left_alone": 4}


def test_test_split_by_hash_is_left_alone_too(ingest):
    open_rows = [said(n, None) for n in range(40)]
    assert ingest(open_rows, **BY_HASH) == 0
    usual = samples().set_index("sample_id")["split"]
    assert (usual == "test").any()
    parts = [held_out(found) for found in run_folds(rows=open_rows, **BY_HASH)]
    assert set().union(*parts) == set(usual.index[usual != "test"])
    assert set(reasons()) == set(usual.index[usual == "test"])


def test_group_with_one_test_row_is_left_alone(ingest):
    """Whatever the source says of its other rows, and in whatever order they come."""
    late = said(70, "test", "s0")
    for found in run_folds(of=2, rows=[*ROWS[:40], late], **BY_SPEAKER, slices=["speaker"]):
        assert len(found) == 36 and "s0" not in set(found["speaker"])


def test_media_do_not_depend_on_fold(ingest):
    hashes, ids = set(), set()
    for number in (1, 2):
        assert ingest(ROWS, splits__fold={"of": 2, "held_out": number}, **BY_SPEAKER) == 0
        hashes.add(file_hash(Path("media")))
        ids.add(tuple(asset_ids("image")))
    assert len(hashes) == len(ids) == 1


def test_fold_is_the_same_each_time(ingest):
    fold = {"of": OF, "held_out": 2}
    found = set()
    for workers in (1, 2):
        assert ingest(ROWS, workers=workers, splits__fold=fold, **BY_SPEAKER) == 0
        found.add(Path("samples.parquet").read_bytes())
    assert len(found) == 1


def test_more_folds_than_groups_are_refused(ingest, capsys):
    assert ingest(ROWS, splits__fold={"of": 11, "held_out": 1}, **BY_SPEAKER) == 2
    error = capsys.readouterr().err
    assert "11 folds need as many groups outside the test split, found 10" in error
    assert "(ingest.splits.group: speaker)" in error


def test_rows_that_cannot_be_used_are_in_no_fold(ingest):
    broken = row("broken", "train", "1", {"speaker": ("s1", "s2")}, image=b"no image")
    fold = {"of": 2, "held_out": 1}
    assert ingest([*ROWS, broken], splits__fold=fold, **BY_IMAGE) == 0
    assert reasons()["broken"] == "image_undecodable"
    assert ingest([*ROWS, broken], splits__fold=fold, **BY_SPEAKER) == 0
    assert reasons()["broken"] == "image_undecodable"


def test_classes_are_spread_evenly():
    folds = choose_folds(pd.Series(range(72)).astype(str), CLASSES, 4, seed=0)
    counts = pd.crosstab(folds, CLASSES)
    assert counts["common"].tolist() == [15] * 4 and counts["rare"].tolist() == [3] * 4


def test_classes_are_spread_over_groups():
    groups = pd.Series([f"g{n // 3}" for n in range(72)])
    folds = pd.Series(choose_folds(groups, CLASSES, 4, seed=0))
    assert (folds.groupby(groups).nunique() == 1).all()
    assert pd.crosstab(folds, CLASSES)["rare"].tolist() == [3] * 4


@pytest.mark.parametrize("labels", [pd.Series([""] * 30), pd.Series(map(str, range(30)))])
def test_folds_without_classes_are_of_equal_size(labels):
    folds = choose_folds(pd.Series([f"g{n // 2}" for n in range(30)]), labels, 5, seed=0)
    assert Counter(folds) == dict.fromkeys(range(1, 6), 6)


def test_seed_chooses_folds():
    groups = pd.Series(range(72)).astype(str)
    one, same, other = (choose_folds(groups, CLASSES, 4, seed).tolist() for seed in (0, 0, 1))
    assert one == same != other
