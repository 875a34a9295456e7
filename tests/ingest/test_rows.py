"""Rows of a source become samples, and their cells labels and slices."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from components.common.files import read_json
from components.data.shards import read_index
from components.ingest.records import Record
from components.ingest.rows import cell, column_parsers
from components.tasks.registry import settings_of
from tests.ingest.stage_rows import GENERATION, TASK, good, quarantine, reasons, row, samples
from tests.support.media import png, wav


def test_row_with_two_bad_files_names_both(ingest):
    assert ingest([*good(2), row("bad", image=b"?", audio=b"!")]) == 0
    (detail,) = quarantine()["detail"]
    assert "the image cannot be decoded" in detail
    assert "the sound cannot be decoded" in detail


def test_missing_modality_is_null(ingest):
    assert ingest([row("a", image=None), row("b", text=None, audio=None, answer="no")]) == 0
    columns = ["image_id", "text_id", "audio_id", "tabular_id"]
    assert samples()[columns].isna().to_numpy().tolist() == [
        [True, False, False, False],
        [False, True, True, False],
    ]


def test_modality_without_assets_is_empty_set(ingest):
    assert ingest([row("a", audio=None), row("b", audio=None, answer="no")]) == 0
    assert read_index(Path("media/audio")) == []
    assert samples()["audio_id"].isna().all()


def test_duplicate_id_is_kept_once(ingest):
    assert ingest([*good(3), *good(3)]) == 0
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "good/2"]
    assert list(quarantine()["reason"]) == ["id_duplicate"] * 3


def test_missing_column_is_named_before_writing(ingest, capsys):
    assert ingest(good(2), tasks={"answer": TASK | {"column": "anwser"}}) == 2
    assert "does not have: anwser. Did you mean 'answer'?" in capsys.readouterr().err
    assert not Path("samples.parquet").exists()


def test_unknown_group_is_named(ingest, capsys):
    assert ingest(good(4), splits__group="speeker") == 2
    assert "does not have: speeker" in capsys.readouterr().err


def test_source_without_further_columns_says_so(ingest, capsys):
    rows = [Record(r.row_id, r.split, r.media, {}) for r in good(2)]
    assert ingest(rows, slices=[]) == 2
    assert "splits it has: nothing. Correct" in capsys.readouterr().err


def test_ids_that_start_again_name_files_and_way_out(ingest):
    places = ["a.csv:2", "a.csv:3", "b.csv:2", "b.csv:3", "b.csv:4"]
    ids = ["1", "2", "1", "3", "3"]
    rows = [
        replace(row(i, answer=str(n % 2)), place=place)
        for n, (i, place) in enumerate(zip(ids, places, strict=True))
    ]
    assert ingest(rows) == 0
    assert list(samples()["sample_id"]) == ["1", "2", "3"]
    in_other, in_same = quarantine()["detail"]
    assert "b.csv:2 has that of a.csv:2; ids start again in each file" in in_other
    assert "b.csv:4 has that of b.csv:3; make the ids unique" in in_same
    assert "ingest.source.id: null" in in_other and "ingest.source.id: null" in in_same


@pytest.mark.parametrize("cell", [("a", "b"), (), float("inf"), float("-inf")], ids=str)
def test_group_that_is_no_word_is_in_quarantine(ingest, cell):
    rows = [
        row("bad", columns={"speaker": cell}),
        *(row(str(n), answer=str(n), columns={"speaker": "a"}) for n in range(2)),
    ]
    assert ingest(rows, splits__group="speaker") == 0
    (reason,) = reasons().values()
    assert reason in ("label_malformed", "label_not_finite")
    assert list(quarantine()["asset"]) == ["speaker"]
    assert quarantine()["detail"][0].startswith("the group 'speaker' is ")


@pytest.mark.parametrize(("group", "column"), [("image", "image_id"), ("speaker", "speaker")])
def test_group_is_in_one_split_and_new_rows_move_nothing(ingest, group, column):
    rows = [
        row(str(n), None, str(n % 2), {"speaker": str(n // 3)}, image=png(n // 2), audio=wav(n))
        for n in range(120)
    ]
    splits = {"splits__group": group, "splits__validation": 0.3, "splits__test": 0.3}
    options = {"on_leak": "allow", "slices": ["speaker"], **splits}
    assert ingest(rows[:60], **options) == 0
    small = samples().set_index("sample_id")
    assert ingest(rows, **options) == 0
    large = samples().set_index("sample_id")
    assert set(large["split"]) == {"train", "validation", "test"}
    assert (large.groupby(column)["split"].nunique() == 1).all()
    assert (large.loc[small.index, "split"] == small["split"]).all()


def test_numbers_are_labels_and_lists_are_not(ingest):
    rows = [row("a", answer=3.0), row("b", answer="4"), row("c", answer=("x", "y"))]
    assert ingest(rows) == 0
    assert list(samples()["answer"]) == ["3", "4"]
    assert reasons() == {"c": "label_malformed"}


def test_text_of_sample_can_be_label(ingest):
    rows = [
        row("a", text=b"What  is\r\nit?"),
        row("b", text="第3号".encode()),
        row("c", text=None),
        row("d", text=b"\xff"),
    ]
    assert ingest(rows, tasks={"heard": GENERATION}) == 0
    found = samples().set_index("sample_id")["text"]
    assert list(found["a"]) == ["What is it?"] and list(found["b"]) == ["第3号"]
    assert found["c"] is None and reasons() == {"d": "text_not_utf8"}
    assert len(read_json(Path("vocabulary.json"))["heard"]["merges"]) == 3
    assert read_json(Path("report.json"))["classes"] == {}


def test_column_of_source_comes_before_text_of_sample(ingest):
    rows = [row(name, columns={"text": (name, f"{name}{name}")}) for name in "ab"]
    assert ingest(rows, tasks={"write": GENERATION}) == 0
    assert [list(texts) for texts in samples()["text"]] == [["a", "aa"], ["b", "bb"]]


def test_cell_of_inline_modality_is_normalised_text():
    record = row("a", text="\ufeffcafe\u0301 ".encode(), columns={"speaker": "anna"})
    assert cell(record, "text") == "café"
    assert cell(record, "speaker") == "anna"
    assert cell(row("b", text=None), "text") is None


def test_every_column_of_tasks_and_slices_has_parser():
    tasks = {
        "size": settings_of("regression")(column="size"),
        "tags": settings_of("multilabel")(column="tags"),
        "found": settings_of("retrieval")(column="image_id", query="text", target="image"),
    }
    parsers = column_parsers(tasks, ("voice",))
    assert {column: parser.type for column, parser in parsers.items()} == {
        "voice": pa.string(),
        "size": pa.float64(),
        "tags": pa.list_(pa.string()),
    }  # ids of assets are not read from the source
    assert parsers["tags"].parse("a|b") == ("a", "b")
