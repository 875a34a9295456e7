"""Every row of a source is in exactly one of samples and quarantine."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.common.files import read_json
from components.common.hashing import content_id
from components.data.shards import read_index, read_media
from components.data.tables import ASSETS, QUARANTINE, SAMPLES, read_table
from components.ingest import __main__ as stage
from components.ingest.record import BadRow, Media, Record
from components.ingest.sources import with_voices
from tests.shrunk import png, small_params, wav, write_params

MISSING = Path("/nowhere/cat.png")
NAN = np.array([0, np.nan, 0], dtype="float32")
BROKEN = {  # what is wrong → the modality, a file, the reason
    "a PNG cut short": ("image", png(1)[:100], "image_undecodable"),
    "no image": ("image", b"hello", "image_undecodable"),
    "an empty text": ("text", b" \n", "text_empty"),
    "Latin-1": ("text", "é".encode("latin-1"), "text_not_utf8"),
    "a broken WAV": ("audio", b"RIFF" + wav(1)[20:200], "audio_undecodable"),
    "a WAV with NaN": ("audio", wav(NAN, subtype="FLOAT"), "audio_not_finite"),
}
TASK = {"kind": "classification", "column": "answer", "decided_by": [], "weight": 1.0}
OPTIONS = {
    "samples": "samples.parquet",
    "media": "media",
    "quarantine": "quarantine.parquet",
    "vocabulary": "vocabulary.json",
    "assets": "assets.parquet",
    "report": "report.json",
    "plots": "plots",
    "page": "page.html",
    "scratch": "scratch",
}


def file(key: str, content: bytes) -> Media:
    return Media(key, partial(bytes, content))


def row(line: str, split="train", answer="yes", columns=None, **media: bytes | None) -> Record:
    """A record with all modalities, all good, unless `media` says otherwise."""
    contents = {"image": png(), "text": b"is it red?", "audio": wav(), **media}
    files = {m: file(f"{m} {content_id(c)}", c) for m, c in contents.items() if c is not None}
    return Record(line, split, files, {"answer": answer, "voice": "v", **(columns or {})})


def good(count: int) -> list[Record]:
    return [row(f"good/{n}", answer="yes" if n % 2 else "no") for n in range(count)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage on rows instead of the demo's; its exit code, 0 if it ends well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()

    def call(rows: list, tasks: dict | None = None, workers: int = 2, **changes) -> int:
        settings = {
            "ingest.max_bad_fraction": 0.9,
            "ingest.splits.validation": 0.0,
            "ingest.slices": ["voice"],
        }
        settings |= {f"ingest.{key.replace('__', '.')}": value for key, value in changes.items()}
        settings |= {"tasks": {"answer": TASK} if tasks is None else tasks, "workers": workers}
        write_params(tmp_path / "params.yaml", small_params(settings))
        monkeypatch.setitem(stage.SOURCES, "demo", lambda settings, root: iter(rows))
        words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
        monkeypatch.setattr(sys, "argv", ["ingest", *words])
        try:
            stage.STAGE.run(stage.work)
        except SystemExit as end:
            return end.code
        finally:
            assert not [path for path in tmp_path.rglob(".*.tmp")]
        return 0

    return call


def samples() -> pd.DataFrame:
    return read_table(Path("samples.parquet"), SAMPLES)


def quarantine() -> pd.DataFrame:
    return read_table(Path("quarantine.parquet"), QUARANTINE)


def reasons() -> dict[str, str]:
    table = quarantine()
    return dict(zip(table["source_line"], table["reason"], strict=True))


def asset_ids(modality: str) -> list[str]:
    return [asset for shard in read_index(Path("media") / modality) for asset in shard.asset_ids]


def test_every_row_is_in_exactly_one_place_with_the_reason(run):
    rows = good(3) + [row(what, **{m: content}) for what, (m, content, _) in BROKEN.items()]
    rows += [row("missing", image=None), row("unreadable")]
    rows[-1].media["image"] = Media("cat.png", MISSING.read_bytes)
    rows += [BadRow("line 7", "x", "row_unreadable", "not JSON"), row("nothing", **NOTHING)]
    assert run(rows) == 0
    expected = {what: reason for what, (_, _, reason) in BROKEN.items()}
    expected |= {"unreadable": "file_unreadable", "line 7": "row_unreadable"}
    assert reasons() == expected | {"nothing": "row_empty"}
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "good/2", "missing"]
    unreadable = quarantine().set_index("source_line").loc["unreadable"]
    assert unreadable["asset"] == "cat.png"
    assert "No such file" in unreadable["detail"]
    assert not Path("scratch").exists()


NOTHING = {"image": None, "text": None, "audio": None}


def test_a_row_with_two_bad_files_names_both(run):
    assert run([*good(2), row("bad", image=b"?", audio=b"!")]) == 0
    (detail,) = quarantine()["detail"]
    assert "the image cannot be decoded" in detail
    assert "the sound cannot be decoded" in detail


def test_a_missing_modality_is_null_and_the_others_are_there(run):
    assert run([row("a", image=None), row("b", text=None, audio=None, answer="no")]) == 0
    assert samples()[["image_id", "text_id", "audio_id"]].isna().to_numpy().tolist() == [
        [True, False, False],
        [False, True, True],
    ]


def test_a_modality_that_no_row_has_is_an_empty_set(run):
    assert run([row("a", audio=None), row("b", audio=None, answer="no")]) == 0
    assert read_index(Path("media/audio")) == []
    assert samples()["audio_id"].isna().all()


def test_an_asset_that_several_rows_share_is_stored_once(run):
    other_key = row("c")
    other_key.media["image"] = file("a copy of the file", png())
    assert run([row("a"), row("b"), other_key, row("d", image=png(1), answer="no")]) == 0
    assert asset_ids("image") == [content_id(png()), content_id(png(1))]
    assert asset_ids("text") == [content_id(b"is it red?")]
    (shard,) = read_index(Path("media/image"))
    assert list(read_media(Path("media/image"), shard)) == [png(), png(1)]


@pytest.mark.parametrize("count", [2, 300])  # more than the rows that are read side by side
def test_a_file_is_read_once_however_many_rows_name_it(run, count):
    reads = []

    def load():
        reads.append(1)
        return b"broken"

    rows = [row(str(number)) for number in range(count)]
    for record in rows:
        record.media["image"] = Media("shared.png", load)
    assert run([*good(40), *rows]) == 0
    assert len(quarantine()) == count
    assert len(reads) == 1


@pytest.mark.parametrize("workers", [1, 4])
def test_samples_and_media_keep_the_order_of_the_source(run, workers):
    rows = [row(str(n), image=png(n), answer=str(n % 2)) for n in range(300)]
    assert run(rows, workers=workers) == 0
    assert list(samples()["sample_id"]) == [str(n) for n in range(300)]
    assert asset_ids("image") == [content_id(png(n)) for n in range(300)]


def test_an_id_that_stands_twice_is_kept_once(run):
    assert run([*good(3), *good(3)]) == 0
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "good/2"]
    assert list(quarantine()["reason"]) == ["id_duplicate"] * 3


def test_a_column_that_the_source_lacks_is_named_before_anything_is_written(run, capsys):
    assert run(good(2), tasks={"answer": TASK | {"column": "anwser"}}) == 2
    assert "does not have: anwser. It has: answer, voice" in capsys.readouterr().err
    assert not Path("samples.parquet").exists()


def test_the_vocabulary_is_what_training_has_sorted(run):
    rows = [row("a", answer="b"), row("b", answer="a"), row("c", answer=None)]
    assert run(rows) == 0
    assert read_json(Path("vocabulary.json")) == {"answer": {"classes": ["a", "b"]}}


WRITE = TASK | {
    "kind": "generation", "vocabulary": 260, "max_tokens": 9, "decoding": "greedy",
}  # fmt: skip


def test_a_sample_s_own_text_may_be_a_label(run):
    rows = [
        row("a", text=b"What  is\r\nit?"),
        row("b", text="第3号".encode()),
        row("c", text=None),
        row("d", text=b"\xff"),
    ]
    assert run(rows, tasks={"heard": WRITE | {"column": "text"}}) == 0
    found = samples().set_index("sample_id")["text"]
    assert list(found["a"]) == ["What is it?"] and list(found["b"]) == ["第3号"]
    assert found["c"] is None and reasons() == {"d": "text_not_utf8"}
    assert len(read_json(Path("vocabulary.json"))["heard"]["merges"]) == 3
    assert read_json(Path("report.json"))["classes"] == {}


def test_a_column_text_of_the_source_comes_before_the_sample_s_own(run):
    rows = [row(name, columns={"text": (name, f"{name}{name}")}) for name in "ab"]
    assert run(rows, tasks={"write": WRITE | {"column": "text"}}) == 0
    assert [list(texts) for texts in samples()["text"]] == [["a", "aa"], ["b", "bb"]]


def test_texts_that_are_all_the_same_are_refused(run, capsys):
    assert run(good(2), tasks={"heard": WRITE | {"column": "text"}}) == 2
    assert "tasks.heard: column 'text' holds one text, 'is it red?'," in capsys.readouterr().err


def test_a_task_with_one_class_is_refused(run, capsys):
    assert run([row("a"), row("b")]) == 2
    assert "tasks.answer: column 'answer' holds 1 classes" in capsys.readouterr().err


def test_a_label_that_training_never_had_goes_to_quarantine(run):
    rows = [*good(2), row("x", "test", "maybe", image=None, audio=None)]
    assert run([*rows, row("y", "test", None, image=None, audio=None)]) == 0
    assert reasons() == {"x": "label_unknown"}
    assert "'maybe' does not occur in the training split" in quarantine()["detail"].iloc[0]
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "y"]


def test_numbers_are_labels_too_and_lists_are_not(run):
    rows = [row("a", answer=3.0), row("b", answer="4"), row("c", answer=("x", "y"))]
    assert run(rows) == 0
    assert list(samples()["answer"]) == ["3", "4"]
    assert reasons() == {"c": "label_malformed"}


def test_the_report_adds_up(run):
    alone = {"image": None, "audio": None}
    rows = [*good(8), row("broken", image=b"?"), row("new", "test", "maybe", **alone)]
    rows.append(row("kept", "test", "no", **alone))
    assert run(rows) == 0
    assert sorted([*samples()["sample_id"], *quarantine()["source_line"]]) == sorted(
        record.line for record in rows
    )
    report = read_json(Path("report.json"))
    assert report["samples"] == {"train": 8, "validation": 0, "test": 1}
    assert report["assets"]["train"] == {"image": 1, "text": 1, "audio": 1}
    assert report["assets"]["test"] == {"image": 0, "text": 1, "audio": 0}
    assert report["quarantine"] == {"image_undecodable": 1, "label_unknown": 1}
    assert report["classes"]["answer"]["train"] == {"no": 4, "yes": 4}
    assert report["leaks"] == {"image": 0, "audio": 0}


def test_more_bad_rows_than_allowed_stop_the_stage_and_all_can_be_read(run, capsys):
    bad = [row("bad/0", image=b"?"), row("bad/1", text=b""), row("bad/2", image=b"??")]
    assert run([*good(7), *bad], max_bad_fraction=0.2) == 2
    error = capsys.readouterr().err
    assert "3 of 10 rows of the source are bad, ingest.max_bad_fraction allows 20.00%" in error
    assert "image_undecodable (2), text_empty (1)" in error
    assert "row bad/0" in error
    assert "quarantine.parquet" in error
    assert set(reasons()) == {"bad/0", "bad/1", "bad/2"}
    assert not Path("samples.parquet").exists()
    assert run([*good(7), *bad], max_bad_fraction=0.3) == 0


@pytest.mark.parametrize("rows", [[], [row("bad", image=b"?")]], ids=["none", "all bad"])
def test_a_source_without_a_good_row_is_the_user_s_mistake(run, capsys, rows):
    assert run(rows, max_bad_fraction=1.0) == 2
    assert "rows" in capsys.readouterr().err


def leaking() -> list[Record]:
    """An image of training is in test, a sound of training in validation; texts do not count."""
    others = [row(str(n), answer=str(n % 2), image=png(n + 9), audio=wav(n + 9)) for n in range(4)]
    return [
        *others,
        row("train image", answer="0", image=png(1), audio=wav(1)),
        row("train sound", answer="1", image=png(2), audio=wav(2)),
        row("test image", "test", answer="0", image=png(1), audio=wav(3)),
        row("validation sound", "validation", answer="1", image=png(3), audio=wav(2)),
    ]


def test_a_leak_stops_the_stage_with_its_assets(run, capsys):
    assert run(leaking()) == 2
    error = capsys.readouterr().err
    assert "1 of image and 1 of audio" in error
    assert f"image {content_id(png(1))[:12]} in train, test" in error
    assert f"audio {content_id(wav(2))[:12]} in train, validation" in error
    assert "ingest.on_leak" in error


def test_a_leak_can_be_dropped_from_the_earlier_split(run):
    assert run(leaking(), on_leak="drop") == 0
    assert reasons() == {"train image": "leak", "train sound": "leak"}
    assert {"test image", "validation sound"} <= set(samples()["sample_id"])
    assert read_json(Path("report.json"))["leaks"] == {"image": 1, "audio": 1}


def test_a_leak_can_be_allowed_and_is_counted(run):
    assert run(leaking(), on_leak="allow") == 0
    assert len(samples()) == 8
    assert read_json(Path("report.json"))["leaks"] == {"image": 1, "audio": 1}


def split_by(group: str, count: int) -> list[Record]:
    return [
        row(str(n), None, str(n % 2), {"speaker": str(n // 3)}, image=png(n // 2), audio=wav(n))
        for n in range(count)
    ]


@pytest.mark.parametrize(("group", "column"), [("image", "image_id"), ("speaker", "speaker")])
def test_a_group_is_in_one_split_and_new_rows_move_nothing(run, group, column):
    shares = {"splits__group": group, "splits__validation": 0.3, "splits__test": 0.3}
    options = {"on_leak": "allow", "slices": ["speaker"], **shares}
    assert run(split_by(group, 60), **options) == 0
    small = samples().set_index("sample_id")
    assert run(split_by(group, 120), **options) == 0
    large = samples().set_index("sample_id")
    assert set(large["split"]) == {"train", "validation", "test"}
    assert (large.groupby(column)["split"].nunique() == 1).all()
    assert (large.loc[small.index, "split"] == small["split"]).all()


def test_an_unknown_group_is_named(run, capsys):
    assert run(good(4), splits__group="speeker") == 2
    assert "does not have: speeker" in capsys.readouterr().err


VOICES = {
    "train": ["en/150/35", "en-us/170/50"],
    "validation": ["en-us-nyc/160/45"],
    "test": ["en-029/160/40"],
}
SPOKEN = {"speech": {"voices": VOICES}, "slices": ["voice", "accent"]}


def silent(line: str, image: int, text="is it red?", split=None, audio=None) -> Record:
    """A record without a sound, unless it is given, and without a column that says whose it is."""
    record = row(line, split, image=png(image), text=text.encode(), audio=audio)
    return Record(line, split, record.media, {"answer": line[-1]})


@pytest.mark.parametrize("group", ["image", "audio", "text"])
def test_texts_are_spoken_in_a_voice_of_the_split_that_their_group_is_in(run, group):
    rows = [silent(f"{n}", n // 2, f"is it {n // 3}?") for n in range(150)]
    shares = {"splits__group": group, "splits__validation": 0.3, "splits__test": 0.3}
    on_leak = "error" if group == "image" else "allow"  # otherwise images may be in two splits
    assert run(rows, **SPOKEN, **shares, on_leak=on_leak) == 0
    found = samples()
    assert list(found["sample_id"]) == [record.line for record in rows]
    assert found["audio_id"].notna().all()
    for split, names in VOICES.items():
        assert set(found.loc[found["split"] == split, "voice"]) == set(names)
    assert (found["accent"] == found["voice"].str.split("/").str[0]).all()
    assert read_json(Path("report.json"))["leaks"]["audio"] == 0  # each voice is in one split


def test_a_text_is_spoken_once_a_voice_however_often_it_is_said(run, monkeypatch):
    asked = []
    real = with_voices.say
    monkeypatch.setattr(with_voices, "say", lambda u: asked.append(u) or real(u))
    assert run([silent(str(n), n, split="train") for n in range(600)], **SPOKEN) == 0
    assert len(asked) == len(asset_ids("audio")) == len(VOICES["train"])


@pytest.mark.parametrize("workers", [1, 4])
def test_sounds_are_stored_in_the_order_of_the_source_however_many_speak(run, workers):
    rows = [silent(str(n), n, f"number {n}", "train") for n in range(300)]
    assert run(rows, **SPOKEN, workers=workers) == 0
    assert asset_ids("audio") == list(samples()["audio_id"])


def test_a_row_that_cannot_be_spoken_or_used_is_in_quarantine_with_the_reason(run):
    rows = [
        *(silent(str(n), n, split="train") for n in range(4)),
        silent("silent", 5, "…?!"),
        silent("empty", 6, " "),
        Record("nothing", None, {}, {"answer": "1"}),
        silent("own 1", 7, split="train", audio=wav()),
    ]
    assert run(rows, **SPOKEN) == 0
    assert reasons() == {"silent": "speech_silent", "empty": "text_empty", "nothing": "row_empty"}
    assert "nothing to say for '…?!'" in quarantine()["detail"].iloc[0]
    assert samples().set_index("sample_id")["voice"].isna().to_dict() == {
        "0": False, "1": False, "2": False, "3": False, "own 1": True,
    }  # fmt: skip


def test_a_voice_that_does_not_exist_is_the_user_s_mistake(run, capsys):
    voices = VOICES | {"test": ["en-klingon/150/50"]}
    assert run([silent("0", 0)], **SPOKEN | {"speech": {"voices": voices}}) == 2
    assert "ingest.speech.voices: eSpeak NG has no voice 'en-klingon'" in capsys.readouterr().err
    assert not Path("samples.parquet").exists()


def test_the_report_shows_sizes_duplicates_and_samples_as_text(run):
    rows = [*good(8), row("<b>odd</b>", image=png(3, size=(40, 30)), text=b"<i>what?</i>")]
    copy = row("copy")
    copy.media["image"] = file("a copy of the file", png())
    rows += [
        copy,
        row("broken", image=b"?"),
        row("silent", audio=None, text="\N{SNOWMAN}".encode()),
    ]
    assert run(rows) == 0
    report = read_json(Path("report.json"))
    assert report["media"]["width"] == {"least": 20.0, "median": 30.0, "most": 40.0}
    assert report["media"]["seconds"]["least"] == report["media"]["seconds"]["most"] == 0.5
    assert report["duplicates"] == {"image": 1, "text": 0, "audio": 0}
    page = Path("page.html").read_text()
    assert "&lt;i&gt;what?&lt;/i&gt;" in page and "<i>" not in page and "<b>odd" not in page
    assert "☃" in page and "image_undecodable" in page
    assert "http" not in page and "<script" not in page
    plots = {path.name for path in Path("plots").iterdir()}
    assert plots == {"samples.png", "classes_answer.png", "media.png", "quarantine.png"}
    first = {path: path.read_bytes() for path in [*Path("plots").iterdir(), Path("page.html")]}
    assert run(rows, on_leak="allow") == 0
    assert {path: path.read_bytes() for path in first} == first
    assets = read_table(Path("assets.parquet"), ASSETS)
    assert assets.groupby("modality").size().to_dict() == {"image": 2, "text": 3, "audio": 1}
