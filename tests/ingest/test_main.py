"""Every row of a source is in exactly one of samples and quarantine."""

from pathlib import Path

import numpy as np

from components.common.files import read_json
from components.ingest.records import BadRow, Media
from components.modalities.registry import MODALITIES
from tests.ingest.stage_rows import good, quarantine, reasons, row, samples
from tests.support.media import png, wav

MISSING = Path("/nowhere/cat.png")
NAN = np.array([0, np.nan, 0], dtype="float32")
BROKEN = {  # name of the row → modality, file, reason
    "truncated PNG": ("image", png(1)[:100], "image_undecodable"),
    "not an image": ("image", b"hello", "image_undecodable"),
    "empty text": ("text", b" \n", "text_empty"),
    "Latin-1": ("text", "é".encode("latin-1"), "text_not_utf8"),
    "broken WAV": ("audio", b"RIFF" + wav(1)[20:200], "audio_undecodable"),
    "WAV with NaN": ("audio", wav(NAN, subtype="FLOAT"), "audio_not_finite"),
    "list as cell": ("tabular", b'{"age": [3]}', "tabular_malformed"),
    "no cell": ("tabular", b'{"age": "", "breed": "n/a"}', "tabular_empty"),
}


def test_every_row_is_in_one_place(ingest):
    rows = good(3) + [row(name, **{m: content}) for name, (m, content, _) in BROKEN.items()]
    rows += [row("missing", image=None), row("unreadable")]
    rows[-1].media["image"] = Media("cat.png", MISSING.read_bytes)
    nothing = row("nothing", **dict.fromkeys(MODALITIES))
    rows += [BadRow("line 7", "x", "row_unreadable", "not JSON"), nothing]
    assert ingest(rows) == 0
    expected = {name: reason for name, (_, _, reason) in BROKEN.items()}
    expected |= {"unreadable": "file_unreadable", "line 7": "row_unreadable"}
    assert reasons() == expected | {"nothing": "row_empty"}
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "good/2", "missing"]
    unreadable = quarantine().set_index("row_id").loc["unreadable"]
    assert unreadable["asset"] == "cat.png"
    assert "No such file" in unreadable["detail"]
    assert not Path("scratch").exists()


def test_report_adds_up(ingest):
    alone = {"image": None, "audio": None}
    rows = [*good(8), row("broken", image=b"?"), row("new", "test", "maybe", **alone)]
    rows.append(row("kept", "test", "no", **alone))
    assert ingest(rows) == 0
    found = [*samples()["sample_id"], *quarantine()["row_id"]]
    assert sorted(found) == sorted(record.row_id for record in rows)
    report = read_json(Path("report.json"))
    assert report["samples"] == {"train": 8, "validation": 0, "test": 1}
    assert report["assets"]["train"] == {"image": 1, "text": 1, "audio": 1, "tabular": 1}
    assert report["assets"]["test"] == {"image": 0, "text": 1, "audio": 0, "tabular": 1}
    assert report["quarantine"] == {"image_undecodable": 1, "label_unknown": 1}
    assert report["classes"]["answer"]["train"] == {"no": 4, "yes": 4}
    assert report["leaks"] == {"image": 0, "text": 1, "audio": 0}


def test_scratch_of_killed_run_is_replaced(ingest):
    Path("scratch").mkdir()
    Path("scratch/ledger").write_text("half of a database")
    assert ingest(good(2)) == 0
    assert not Path("scratch").exists()


def test_outputs_do_not_depend_on_workers(ingest):
    rows = [
        row(str(n), answer=str(n % 2), image=png(n), audio=wav(n), tabular=b'{"age": %d}' % n)
        for n in range(150)
    ]
    assert ingest(rows, workers=1) == 0
    serial = outputs()
    assert ingest(rows, workers=4) == 0
    assert outputs() == serial


def outputs() -> dict[Path, bytes]:
    """Return the files that the stage wrote."""
    files = (path for path in Path().rglob("*") if path.is_file() and path.name != "params.yaml")
    return {path: path.read_bytes() for path in files}


def test_missing_root_is_named_with_nearest(ingest, capsys):
    assert ingest(good(2), root="suorce") == 2
    error = capsys.readouterr().err
    assert "ingest.root: there is no folder 'suorce'. Did you mean 'source'?" in error
