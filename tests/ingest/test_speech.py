"""Texts of a source are spoken by eSpeak NG."""

from pathlib import Path

import pytest

from components.common.files import read_json
from components.ingest.records import Record
from components.ingest.sources import voices
from tests.ingest.stage_rows import asset_ids, quarantine, reasons, row, samples
from tests.support.media import png, wav

VOICES = {
    "train": ["en/150/35", "en-us/170/50"],
    "validation": ["en-us-nyc/160/45"],
    "test": ["en-029/160/40"],
}
SPOKEN = {"speech": {"voices": VOICES}, "slices": ["voice", "accent"]}


def silent(row_id: str, image: int, text="is it red?", split=None, audio=None) -> Record:
    """Return a record without a column of voices, and without a sound unless it is given."""
    record = row(row_id, split, image=png(image), text=text.encode(), audio=audio)
    return Record(row_id, split, record.media, {"answer": str(image % 2)})


@pytest.mark.parametrize("group", ["image", "audio", "text"])
def test_voice_is_one_of_split_of_group(ingest, group):
    rows = [silent(f"{n}", n // 2, f"is it {n // 3}?") for n in range(60)]
    splits = {"splits__group": group, "splits__validation": 0.3, "splits__test": 0.3}
    on_leak = "error" if group == "image" else "allow"  # otherwise images may be in two splits
    assert ingest(rows, **SPOKEN, **splits, on_leak=on_leak) == 0
    found = samples()
    assert list(found["sample_id"]) == [record.row_id for record in rows]
    assert found["audio_id"].notna().all()
    for split, names in VOICES.items():
        assert set(found.loc[found["split"] == split, "voice"]) == set(names)
    assert (found["accent"] == found["voice"].str.split("/").str[0]).all()
    assert read_json(Path("report.json"))["leaks"]["audio"] == 0  # each voice is in one split


def test_text_is_spoken_once_per_voice(ingest, monkeypatch):
    asked = []
    real = voices.say
    monkeypatch.setattr(voices, "say", lambda u: asked.append(u) or real(u))
    assert ingest([silent(str(n), n, split="train") for n in range(300)], **SPOKEN) == 0
    assert len(asked) == len(asset_ids("audio")) == len(VOICES["train"])


def test_sounds_keep_order_of_source(ingest):
    rows = [silent(str(n), n, f"number {n}", "train") for n in range(150)]
    assert ingest(rows, **SPOKEN, workers=4) == 0
    assert asset_ids("audio") == list(samples()["audio_id"])


def test_row_that_cannot_be_spoken_is_in_quarantine(ingest):
    rows = [
        *(silent(str(n), n, split="train") for n in range(4)),
        silent("silent", 5, "…?!"),
        silent("empty", 6, " "),
        Record("nothing", None, {}, {"answer": "1"}),
        silent("own 1", 7, split="train", audio=wav()),
    ]
    assert ingest(rows, **SPOKEN) == 0
    assert reasons() == {"silent": "speech_silent", "empty": "text_empty", "nothing": "row_empty"}
    details = quarantine().set_index("row_id")["detail"]
    assert "nothing to say for '…?!'" in details["silent"]
    assert samples().set_index("sample_id")["voice"].isna().to_dict() == {
        **dict.fromkeys("0123", False),
        "own 1": True,
    }


def test_unknown_voice_is_refused(ingest, capsys):
    unknown = VOICES | {"test": ["en-klingon/150/50"]}
    assert ingest([silent("0", 0)], **SPOKEN | {"speech": {"voices": unknown}}) == 2
    assert "ingest.speech.voices: eSpeak NG has no voice 'en-klingon'" in capsys.readouterr().err
    assert not Path("samples.parquet").exists()
