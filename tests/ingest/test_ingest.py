"""Every row of a source is in exactly one of samples and quarantine."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.config.settings import TaskSettings
from components.ingest import __main__ as stage
from components.ingest.__main__ import ingest, learn_vocabulary, quarantine_unknown_labels
from components.ingest.record import Media, Record
from components.store.errors import InputError
from components.store.files import read_json
from components.store.hashing import content_id
from components.store.shards import read_index, read_media
from components.store.tables import QUARANTINE, SAMPLES, read_table
from tests.shrunk import png, small_params, wav, write_params

MISSING = Path("/nowhere/cat.png")
NAN = np.array([0, np.nan, 0], dtype="float32")
BROKEN = {  # what is wrong → the modality, a file, the reason
    "a PNG cut short": ("image", png(1)[:100], "image_undecodable"),
    "no image": ("image", b"hello", "image_undecodable"),
    "an empty image": ("image", b"", "image_undecodable"),
    "an empty text": ("text", b" \n", "text_empty"),
    "Latin-1": ("text", "é".encode("latin-1"), "text_not_utf8"),
    "a broken WAV": ("audio", b"RIFF" + wav(1)[20:200], "audio_undecodable"),
    "a WAV without samples": ("audio", wav(np.zeros(0)), "audio_empty"),
    "a WAV with NaN": ("audio", wav(NAN, subtype="FLOAT"), "audio_not_finite"),
}


def file(key: str, content: bytes) -> Media:
    return Media(key, lambda: content)


def row(line: str, split="train", answer: str | None = "yes", **media: bytes) -> Record:
    """A record with all modalities, all good, unless `media` says otherwise."""
    contents = {"image": png(), "text": b"is it red?", "audio": wav(), **media}
    files = {m: file(f"{m} {content_id(c)}", c) for m, c in contents.items() if c is not None}
    return Record(line, split, files, {"answer": answer, "voice": "v"})


def good(count: int) -> list[Record]:
    return [row(f"good/{n}", answer="yes" if n % 2 else "no") for n in range(count)]


def asset_ids(folder: Path) -> list[str]:
    return [asset for shard in read_index(folder) for asset in shard.asset_ids]


def test_every_row_is_in_exactly_one_place_with_the_reason(tmp_path):
    records = good(3) + [row(what, **{m: content}) for what, (m, content, _) in BROKEN.items()]
    records.append(row("missing", image=None))
    records.append(row("unreadable"))
    records[-1].media["image"] = Media("cat.png", MISSING.read_bytes)
    samples, quarantine = ingest(records, ["answer"], tmp_path)
    expected = {what: reason for what, (_, _, reason) in BROKEN.items()}
    expected["unreadable"] = "file_unreadable"
    assert dict(zip(quarantine["source_line"], quarantine["reason"], strict=True)) == expected
    assert list(samples["sample_id"]) == ["good/0", "good/1", "good/2", "missing"]
    unreadable = quarantine.set_index("source_line").loc["unreadable"]
    assert unreadable["asset"] == "cat.png"
    assert "No such file" in unreadable["detail"]


def test_a_row_with_two_bad_files_names_both(tmp_path):
    records = [*good(2), row("bad", image=b"?", audio=b"!")]
    _, quarantine = ingest(records, ["answer"], tmp_path)
    (detail,) = quarantine["detail"]
    assert "the image cannot be decoded" in detail
    assert "the sound cannot be decoded" in detail


def test_a_missing_modality_is_null_and_the_others_are_there(tmp_path):
    records = [row("a", image=None), row("b", text=None, audio=None)]
    samples, _ = ingest(records, ["answer"], tmp_path)
    assert samples[["image_id", "text_id", "audio_id"]].isna().to_numpy().tolist() == [
        [True, False, False],
        [False, True, True],
    ]


def test_a_modality_that_no_row_has_is_an_empty_set(tmp_path):
    samples, _ = ingest([row("a", audio=None)], ["answer"], tmp_path)
    assert read_index(tmp_path / "audio") == []
    assert samples["audio_id"].isna().all()


def test_an_asset_that_several_rows_share_is_stored_once(tmp_path):
    other_key = row("c")
    other_key.media["image"] = file("a copy of the file", png())
    ingest([row("a"), row("b"), other_key, row("d", image=png(1))], ["answer"], tmp_path)
    assert asset_ids(tmp_path / "image") == [content_id(png()), content_id(png(1))]
    assert asset_ids(tmp_path / "text") == [content_id(b"is it red?")]
    (shard,) = read_index(tmp_path / "image")
    assert read_media(tmp_path / "image", shard) == [png(), png(1)]


def test_a_file_is_read_once_however_many_rows_name_it(tmp_path):
    reads = []

    def load():
        reads.append(1)
        return b"broken"

    records = [row("a"), row("b")]
    for record in records:
        record.media["image"] = Media("shared.png", load)
    _, quarantine = ingest(records, ["answer"], tmp_path)
    assert len(quarantine) == 2
    assert len(reads) == 1


def test_a_column_that_the_source_lacks_is_named(tmp_path):
    with pytest.raises(InputError, match=r"does not have: anwser\. It has: answer, voice"):
        ingest(good(2), ["anwser"], tmp_path)


def test_the_vocabulary_is_what_training_has_sorted():
    table = pd.DataFrame(
        {"split": ["train", "train", "test", "train"], "answer": ["b", "a", "c", None]}, dtype="str"
    )
    tasks = {"answer": TaskSettings(column="answer", decided_by=(), weight=1.0)}
    assert learn_vocabulary(table, tasks) == {"answer": {"classes": ["a", "b"]}}
    with pytest.raises(InputError, match=r"tasks\.answer: column 'answer' holds 1 classes"):
        learn_vocabulary(table[:1], tasks)


def test_a_label_that_training_never_had_goes_to_quarantine():
    table = pd.DataFrame(
        {
            "sample_id": ["a", "b", "c"],
            "split": ["train", "test", "test"],
            "answer": ["x", "y", None],
        },
        dtype="str",
    )
    tasks = {"answer": TaskSettings(column="answer", decided_by=(), weight=1.0)}
    samples, unknown = quarantine_unknown_labels(table, {"answer": {"classes": ["x"]}}, tasks)
    assert list(samples["sample_id"]) == ["a", "c"]
    assert unknown[["source_line", "reason"]].to_numpy().tolist() == [["b", "label_unknown"]]
    assert "'y' does not occur in the training split" in unknown["detail"].iloc[0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage on records instead of the demo's; its exit code, 0 if it ends well."""
    monkeypatch.chdir(tmp_path)

    def call(records: list[Record], limit: float) -> int:
        params = small_params({"ingest.max_bad_fraction": limit, "ingest.slices": ["voice"]})
        params["tasks"] = {"answer": {"column": "answer", "decided_by": [], "weight": 1.0}}
        write_params(tmp_path / "params.yaml", params)
        monkeypatch.setitem(stage.SOURCES, "demo", lambda settings: iter(records))
        options = ("samples.parquet", "media", "quarantine.parquet", "vocabulary.json", "report")
        words = [w for o in options for w in (f"--{o.split('.')[0]}", o)]
        monkeypatch.setattr(sys, "argv", ["ingest", *words])
        try:
            stage.STAGE.run(stage.work)
        except SystemExit as end:
            return end.code
        return 0

    return call


def test_the_stage_writes_tables_and_a_report_that_add_up(run):
    records = [*good(8), row("broken", image=b"?"), row("new", "test", answer="maybe")]
    assert run(records, 0.2) == 0
    samples = read_table(Path("samples.parquet"), SAMPLES)
    quarantine = read_table(Path("quarantine.parquet"), QUARANTINE)
    assert sorted([*samples["sample_id"], *quarantine["source_line"]]) == sorted(
        record.line for record in records
    )
    report = read_json(Path("report"))
    assert report["samples"] == {"train": 8, "validation": 0, "test": 0}
    assert report["quarantine"] == {"image_undecodable": 1, "label_unknown": 1}
    assert report["classes"]["answer"]["train"] == {"no": 4, "yes": 4}
    assert read_json(Path("vocabulary.json")) == {"answer": {"classes": ["no", "yes"]}}


def test_more_bad_rows_than_allowed_stop_the_stage_with_the_reasons(run, capsys):
    bad = [row("bad/0", image=b"?"), row("bad/1", text=b""), row("bad/2", image=b"??")]
    assert run([*good(7), *bad], 0.2) == 2
    error = capsys.readouterr().err
    assert "3 of 10 rows of the source are bad, ingest.max_bad_fraction allows 20.00%" in error
    assert "image_undecodable (2), text_empty (1)" in error
    assert "row bad/0" in error
    assert not Path("samples.parquet").exists()
    assert run([*good(7), *bad], 0.3) == 0


def test_a_source_with_no_good_row_is_the_user_s_mistake(run, capsys):
    assert run([row("bad", image=b"?")], 1.0) == 2
    assert "1 of 1 rows of the source are bad" in capsys.readouterr().err


def test_a_line_that_stands_twice_in_the_source_is_refused(run, capsys):
    assert run([*good(3), *good(3)], 0.0) == 2
    assert "column 'sample_id'" in capsys.readouterr().err
