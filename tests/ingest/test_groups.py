"""A group is in one split: that which the source gives any of its rows, or else that of a hash."""

from pathlib import Path

import pytest

from components.common.files import read_json
from components.ingest.records import Record
from tests.ingest.stage_rows import reasons, row, samples
from tests.support.media import png, wav

BY_SPEAKER = {"splits__group": "speaker", "splits__validation": 0.4, "splits__test": 0.4}


def said(number: int, speaker: str | None, split: str | None) -> Record:
    """Return a row of a speaker with an image and a sound that no other row has."""
    media = {"image": png(number), "audio": wav(number)}
    return row(str(number), split, str(number % 2), {"speaker": speaker}, **media)


def test_row_without_split_is_in_split_of_its_group(ingest):
    """Half of the rows of each speaker have a split, before the others or after them."""
    parts = ("train", "validation", "test")
    rows = [
        said(n, f"speaker {n % 30}", parts[n % 3] if (n // 30 + n) % 2 else None) for n in range(60)
    ]
    assert ingest(rows, **BY_SPEAKER, slices=["speaker"]) == 0
    found = samples()
    assert len(found) == 60
    assert (found.groupby("speaker")["split"].nunique() == 1).all()
    given = {record.row_id: record.split for record in rows if record.split in parts[1:]}
    assert found.set_index("sample_id")["split"][list(given)].to_dict() == given
    assert read_json(Path("report.json"))["leaks"]["speaker"] == 0


@pytest.mark.parametrize("modality", ["image", "text"])
def test_asset_is_a_group_with_one_split(ingest, modality):
    content = {"image": png(5), "text": b"one text"}[modality]
    same = {modality: content}
    rows = [
        row("open", None, audio=wav(1), **same),
        row("given", "test", audio=wav(2), **same),
        row("late", None, audio=wav(3), **same),
        *(row(str(n), "train", str(n % 2), image=png(n + 9), audio=wav(n + 9)) for n in range(4)),
        *(row(f"y{n}", "train", image=png(n + 20), audio=wav(n + 20)) for n in range(2)),
    ]
    if modality == "text":
        rows = [r if r.row_id in ("open", "given", "late") else _other_text(r) for r in rows]
        for number, record in enumerate(rows[:3]):
            record.media["image"] = row("", image=png(number + 50)).media["image"]
    assert ingest(rows, splits__group=modality, splits__test=0.0) == 0
    splits = samples().set_index("sample_id")["split"]
    assert set(splits[["open", "given", "late"]]) == {"test"}


def _other_text(record: Record) -> Record:
    record.media["text"] = row("", text=f"text {record.row_id}".encode()).media["text"]
    return record


@pytest.mark.parametrize("order", [1, -1])
def test_group_with_two_given_splits_stops_stage(ingest, capsys, order):
    rows = [said(1, "anna", "train"), said(2, "anna", "test"), said(3, "bo", "train")][::order]
    assert ingest(rows, splits__group="speaker") == 2
    error = capsys.readouterr().err
    assert "(1 of speaker)" in error
    assert "speaker anna in train, test" in error
    assert "Correct the source's splits, or set ingest.on_leak: drop" in error


def test_dropped_group_leaves_earlier_split(ingest):
    rows = [said(n, "anna", "train" if n < 2 else "test") for n in range(4)]
    rows += [said(n, f"speaker {n}", "train") for n in range(4, 8)]
    assert ingest(rows, splits__group="speaker", on_leak="drop") == 0
    assert reasons() == {"0": "leak", "1": "leak"}
    assert read_json(Path("report.json"))["leaks"] == {
        "image": 0,
        "text": 1,
        "audio": 0,
        "speaker": 1,
    }


def test_rows_without_group_are_groups_by_themselves(ingest):
    rows = [said(n, None, "test" if n % 2 else "train") for n in range(8)]
    rows = [Record(r.row_id, r.split, r.media, {**r.columns, "answer": str(n // 2 % 2)})
            for n, r in enumerate(rows)]  # fmt: skip
    assert ingest(rows, splits__group="speaker") == 0
    assert len(samples()) == 8


def only_text(row_id: str, split: str | None, text: bytes, answer: str) -> Record:
    return row(row_id, split, answer, image=None, audio=None, tabular=None, text=text)


def test_equal_texts_leak_where_text_is_the_only_modality(ingest, capsys):
    rows = [only_text(str(n), "train", b"text %d" % n, str(n % 2)) for n in range(4)]
    rows.append(only_text("again", "test", b"text 1", "1"))
    assert ingest(rows) == 2
    error = capsys.readouterr().err
    assert "(1 of text)" in error
    assert "let ingest.splits.group be text (now image)" in error
    assert ingest(rows, on_leak="drop") == 0
    assert reasons() == {"1": "leak"}
    beside = [row("image", "train", "0", audio=None, tabular=None), *rows]
    assert ingest(beside) == 0
    assert read_json(Path("report.json"))["leaks"]["text"] == 1


def test_spoken_row_that_changes_split_is_refused(ingest, capsys):
    """Its voice would be one of another split."""
    voices = {"train": ["en/150/35"], "validation": ["en/160/40"], "test": ["en/170/45"]}
    rows = [
        Record(r.row_id, r.split, {m: f for m, f in r.media.items() if m != "audio"}, r.columns)
        for r in (said(n, "anna", "test" if n else None) for n in range(2))
    ]
    for record in rows:
        del record.columns["voice"]
    spoken = {"speech": {"voices": voices}, "slices": [], "splits__group": "speaker"}
    assert ingest(rows, **spoken, splits__test=0.0) == 2
    assert "row 0 has no split and was spoken in a voice of train" in capsys.readouterr().err


def test_groups_that_differ_in_spelling_and_split_are_named(ingest, caplog):
    names = {
        "Ann": "train",
        "ann ": "test",
        "Bob": "train",
        "bob": "train",
        "B\u043eb": "validation",
    }
    rows = [said(n, name, split) for n, (name, split) in enumerate(names.items())]
    rows += [said(n, f"speaker {n}", "train") for n in range(5, 9)]
    assert ingest(rows, splits__group="speaker", splits__validation=0.0) == 0
    (remark,) = read_json(Path("report.json"))["remarks"]["speaker"]
    assert "'Ann' in train and 'ann' in test" in remark
    assert "'Bob' in train and 'B\\u043eb' in validation and 'bob' in train" in remark
    assert f"speaker: {remark}" in caplog.text
