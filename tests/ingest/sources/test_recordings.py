"""Recorded speech for the texts of a source, from the tables that data sets ship."""

import logging
import pickle
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from components.common.errors import InputError
from components.ingest.records import BadRow, Media, Record
from components.ingest.sources import coco, flickr30k, vqa
from components.ingest.sources.recordings import RecordingTable, with_recordings
from tests.ingest.sources.documented import documented
from tests.ingest.sources.source_files import assert_memory_is_flat, context, outcomes, write
from tests.support.media import wav


def row(number, **columns) -> Record:
    """Return a caption of COCO, or a row with other columns."""
    text = f"A dog, {number}."
    columns = columns or {"caption_id": str(number), "image_id": "9"}
    return Record(f"captions.json:{number}", "train", {"text": Media(text, text.encode)}, columns)


def tables(*options: dict) -> tuple[RecordingTable, ...]:
    return tuple(RecordingTable.model_validate(table) for table in options)


def spoken(root, content, rows=None, name="speech.csv", id="id", audio="path"):
    """Return all rows with the recordings of a table."""
    write(root, name, content)
    columns = {} if name.endswith((".txt", ".sqlite3")) else {"id": id, "audio": audio}
    rows = [row(1), row(2)] if rows is None else rows
    return list(with_recordings(iter(rows), tables({"file": name, **columns}), root))


def sounds(rows) -> dict[str, str | None]:
    """Return the key of the sound of each record by its id."""
    return {r.row_id: r.media["audio"].key if "audio" in r.media else None for r in rows}


def write_database(path, rows) -> None:
    """Write a database as SpeechCOCO ships it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE captions (captionID INTEGER PRIMARY KEY, imageID INTEGER, "
            "wavFilename TEXT, duration FLOAT, timecode TEXT, disfluencyPos TEXT, "
            "disfluencyVal TEXT, speed FLOAT, text TEXT, speaker TEXT)"
        )
        database.executemany(
            "INSERT INTO captions (captionID, imageID, wavFilename) VALUES (?, ?, ?)", rows
        )
        database.commit()


def test_documented_settings_read_speech_coco(tmp_path):
    settings = documented("SpeechCOCO")
    for number, year in enumerate(("train", "val")):
        image = {"id": number, "file_name": f"COCO_{year}2014_{number:012d}.jpg"}
        (tmp_path / f"coco/{year}2014").mkdir(parents=True)
        folder = "coco/annotations"
        captions = [{"id": 10 * number + n, "image_id": number, "caption": "."} for n in range(2)]
        listing = {"images": [image], "annotations": captions}
        write(tmp_path, f"{folder}/captions_{year}2014.json", listing)
        listing = {"images": [image], "annotations": [], "categories": []}
        listing["annotations"].append({"id": 1, "image_id": number, "category_id": 1})
        listing["categories"].append({"id": 1, "name": "dog"})
        write(tmp_path, f"{folder}/instances_{year}2014.json", listing)
        name = f"{number}_{10 * number}_Phil_None_0-9.wav"
        write(tmp_path, f"speechcoco/{year}2014/wav/{name}", wav(number))
        database = tmp_path / f"speechcoco/{year}2014/{year}_2014.sqlite3"
        write_database(database, [(10 * number, number, name)])
    source = coco.read(settings.source, context(tmp_path))
    rows = list(with_recordings(source, settings.speech.tables, tmp_path))
    train, val = (f"speechcoco/{year}2014/wav" for year in ("train", "val"))
    assert sounds(rows) == {
        f"captions_train2014.json:0:{train}/0_0_Phil_None_0-9.wav": (
            f"{train}/0_0_Phil_None_0-9.wav"
        ),
        "captions_train2014.json:1": None,
        f"captions_val2014.json:10:{val}/1_10_Phil_None_0-9.wav": (f"{val}/1_10_Phil_None_0-9.wav"),
        "captions_val2014.json:11": None,
    }
    assert rows[2].media["audio"].load() == wav(1)
    assert set(rows[0].media) == {"image", "text", "audio"}


def test_documented_settings_read_flickr8k_audio(tmp_path):
    settings = documented("Flickr8k-audio")
    (tmp_path / settings.source.images).mkdir(parents=True)
    image = "2571096893_694ce79768"
    tokens = f"{image}.jpg#0\tA dog .\n{image}.jpg#1\tA cat .\n"
    write(tmp_path, settings.source.captions, tokens)
    write(tmp_path, f"flickr_audio/wavs/{image}_1.wav", wav(1))
    write(tmp_path, "flickr_audio/wav2capt.txt", f"{image}_1.wav {image}.jpg #1\n")
    source = flickr30k.read(settings.source, context(tmp_path))
    rows = list(with_recordings(source, settings.speech.tables, tmp_path))
    assert ["audio" in row.media for row in rows] == [False, True]
    assert rows[1].media["audio"].load() == wav(1)


def test_documented_settings_read_own_table(tmp_path):
    settings = documented("A table of your own")
    split = settings.source.splits["train"]
    (tmp_path / split.images).mkdir(parents=True)
    question = {"question_id": 90, "image_id": 9, "question": "Is it red?"}
    write(tmp_path, split.questions, {"questions": [question]})
    answers = [{"answer": "yes", "answer_confidence": "yes", "answer_id": 1}]
    answered = {"question_id": 90, "image_id": 9, "answers": answers}
    write(tmp_path, split.annotations, {"annotations": [answered]})
    write(tmp_path, "speech/questions.csv", "question_id,path\n90,speech/a.wav\n")
    write(tmp_path, "speech/a.wav", wav())
    source = vqa.read(settings.source, context(tmp_path))
    (row,) = with_recordings(source, settings.speech.tables, tmp_path)
    assert row.media["audio"].load() == wav()


def test_all_formats_give_equal_sounds(tmp_path):
    entries = pd.DataFrame({"id": [1, 1], "path": ["a.wav", "b/c.wav"], "speaker": ["x", "y"]})
    entries.to_parquet(tmp_path / "t.parquet")
    contents = {
        "t.csv": entries.to_csv(index=False),
        "u.csv": "\ufeff" + entries.to_csv(index=False, lineterminator="\r\n"),
        "t.jsonl": entries.to_json(orient="records", lines=True),
        "t.parquet": (tmp_path / "t.parquet").read_bytes(),
    }
    expected = {
        "captions.json:1:a.wav": "a.wav",
        "captions.json:1:b/c.wav": "b/c.wav",
        "captions.json:2": None,
    }
    for name, content in contents.items():
        assert sounds(spoken(tmp_path, content, name=name)) == expected, name


def test_row_keeps_split_and_columns_and_is_picklable(tmp_path):
    write(tmp_path, "a.wav", wav())
    found, _ = spoken(tmp_path, "id,path\n1,a.wav\n")
    assert (found.split, found.columns) == ("train", row(1).columns)
    assert pickle.loads(pickle.dumps(found)).media["audio"].load() == wav()


def test_id_is_that_of_caption_or_question_or_row(tmp_path):
    rows = [
        row(1, caption_id="7", question_id="8"),
        row(2, question_id="7"),
        row(3, label="7"),
        row(4, caption_id=None),
    ]
    table = "id,path\n7,a.wav\ncaptions.json:3,b.wav\n1,c.wav\n"
    assert sounds(spoken(tmp_path, table, rows)) == {
        "captions.json:1:a.wav": "a.wav",
        "captions.json:2:a.wav": "a.wav",
        "captions.json:3:b.wav": "b.wav",
        "captions.json:4": None,
    }


def test_numeric_id_matches_its_digits(tmp_path):
    """Tables give numbers as floats."""
    found = sounds(spoken(tmp_path, "id,path\n7,a.wav\n", [row(1, caption_id=7.0)]))
    assert found == {"captions.json:1:a.wav": "a.wav"}


def test_bad_rows_pass(tmp_path):
    bad = BadRow("captions.json:2", None, "image_unlisted", "image 3 is not in the file's list")
    assert spoken(tmp_path, "id,path\n1,a.wav\n", [row(1), bad])[1] is bad


def test_stray_quotes_swallow_no_recording(tmp_path):
    lines = [f"{n},{n}.wav,said {n}" for n in range(1, 9)]
    lines[1], lines[5] = '2,2.wav,"so', '6,6.wav,and so"'
    found = spoken(tmp_path, "id,path,note\n" + "\n".join(lines), [row(n) for n in range(1, 9)])
    assert [r.media["audio"].key for r in found] == [f"{n}.wav" for n in range(1, 9)]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("1,../secret.wav", "path_outside"),
        ("1,/secret.wav", "path_absolute"),
        ("1,", "path_invalid"),
        ("1", "row_malformed"),
        ("1,a.wav,b.wav", "row_malformed"),
        (b"1,\xe9.wav", "row_not_utf8"),
        (b"\xe9,a.wav", "row_not_utf8"),
    ],
)
def test_bad_entry_leaves_row_without_sound(tmp_path, entry, reason):
    entry = entry if isinstance(entry, bytes) else entry.encode()
    bad, *rows = spoken(tmp_path, b"id,path\n2,b.wav\n" + entry + b"\n")
    assert (bad.row_id, bad.reason) == ("speech.csv:3", reason)
    assert sounds(rows) == {"captions.json:1": None, "captions.json:2:b.wav": "b.wav"}


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("t.jsonl", "{'id': 1}"),
        ("t.jsonl", "[1]"),
        ("t.txt", "1.wav 1.jpg"),
        ("t.txt", "1.wav 1.jpg 0"),
    ],
)
def test_malformed_line_costs_one_entry(tmp_path, name, entry):
    good = '{"id": "1#0", "path": "a.wav"}' if name == "t.jsonl" else "a.wav 1 #0"
    rows = spoken(tmp_path, f"{entry}\n\n{good}\n", [row(1, caption_id="1#0")], name)
    reason = "row_unreadable" if name == "t.jsonl" else "row_malformed"
    assert outcomes(rows) == [(f"{name}:1", reason), ("captions.json:1:a.wav", None)]


def test_unmatched_sounds_are_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        spoken(tmp_path, "id,path\n1,a.wav\n8,b.wav\n9,c.wav\n")
    assert caplog.messages == ["2 sounds belong to no row; the first: id 8, b.wav"]


def test_matched_sounds_are_not_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        spoken(tmp_path, "id,path\n2,b.wav\n1,a.wav\n")
    assert caplog.messages == []


def test_row_with_two_sounds_is_refused(tmp_path):
    own = Record("1", None, {"audio": Media("own.wav", wav)}, {})
    assert sounds(spoken(tmp_path, "id,path\n2,b.wav\n", [own])) == {"1": "own.wav"}
    with pytest.raises(InputError, match="row 1 has a sound, and the tables give it another, b"):
        spoken(tmp_path, "id,path\n1,b.wav\n", [own])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "caption,path\n1,a.wav\n", "there is no column id; it has caption, path"),
        ("t.csv", "", "t.csv: no header with the names of the columns: the file is empty"),
        ("t.csv", "id;path\n1;a.wav\n", "there is no column id, path; it has id;path"),
        ("t.csv", '{"id": 1, "path": "a.wav"}\n', "it looks like JSON Lines: let its name end in"),
        ("t.jsonl", "id,path\n1,a.wav\n", "it looks like CSV: let its name end in .csv"),
        ("t.parquet", "id,path\n1,a.wav\n", "it looks like CSV: let its name end in .csv"),
        ("t.parquet", b"PAR1", "t.parquet is not Parquet"),
        ("t.sqlite3", b"no database at all", "t.sqlite3 cannot be read as a SpeechCOCO database"),
        ("t.xlsx", b"", "expected a name that ends with one of .csv, .tsv"),
    ],
)
def test_unreadable_table_is_refused(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        spoken(tmp_path, content, name=name)


def test_parquet_without_columns_is_refused(tmp_path):
    pd.DataFrame({"caption": [1], "path": ["a.wav"]}).to_parquet(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    with pytest.raises(InputError, match="there is no column id; it has caption, path"):
        spoken(tmp_path, content, name="t.parquet")


def test_paths_in_settings_must_exist(tmp_path):
    columns = {"id": "id", "audio": "path"}
    with pytest.raises(InputError, match=r"ingest.speech.tables.0.file: \S+t.csv does not exist"):
        list(with_recordings(iter([]), tables({"file": "t.csv", **columns}), tmp_path))
    write(tmp_path, "t.csv", "id,path\n")
    settings = tables({"file": "t.csv", "sounds": "gone", **columns})
    with pytest.raises(InputError, match=r"speech.tables.0.sounds: \S+gone does not exist"):
        list(with_recordings(iter([]), settings, tmp_path))


@pytest.mark.parametrize(
    "table",
    [
        {"file": "t.csv"},
        {"file": "t.csv", "id": "id"},
        {"file": "t.parquet", "audio": "path"},
        {"file": "wav2capt.txt", "id": "id", "audio": "path"},
    ],
)
def test_columns_must_be_named_unless_format_fixes_them(table):
    with pytest.raises(ValueError, match="the columns id and audio are needed"):
        tables(table)


def test_rows_are_read_as_stream(tmp_path):
    def rows():
        yield row(1)
        raise AssertionError("the second row was read")

    write(tmp_path, "t.csv", "id,path\n1,a.wav\n")
    settings = tables({"file": "t.csv", "id": "id", "audio": "path"})
    assert next(with_recordings(rows(), settings, tmp_path)).row_id == "captions.json:1:a.wav"


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt", "t.sqlite3"])
def test_memory_is_flat(tmp_path, name):
    def prepare(rows):
        (tmp_path / name).unlink(missing_ok=True)
        entries = [(n, f"{n}.wav") for n in reversed(range(rows))]
        if name == "t.sqlite3":
            write_database(tmp_path / name, [(n, n, path) for n, path in entries])
        else:
            line = {
                "t.csv": "{},{}\n",
                "t.jsonl": '{{"id": {}, "path": "{}"}}\n',
                "t.txt": "{1} {0} #0\n",
            }[name]
            header = "id,path\n" if name == "t.csv" else ""
            write(tmp_path, name, header + "".join(line.format(*entry) for entry in entries))
        columns = {"id": "id", "audio": "path"} if name in ("t.csv", "t.jsonl") else {}
        settings = tables({"file": name, **columns})
        suffix = "#0" if name == "t.txt" else ""
        return lambda: with_recordings(
            (row(n, caption_id=f"{n}{suffix}") for n in range(rows)), settings, tmp_path
        )

    assert_memory_is_flat(prepare)
