"""Equal images or sounds in several splits are leaks; texts beside them and tables are not."""

from pathlib import Path

import pytest

from components.common.files import read_json
from components.common.hashing import content_id
from components.ingest.records import Record
from tests.ingest.stage_rows import reasons, row, samples
from tests.support.media import png, wav


@pytest.fixture
def leaking() -> list[Record]:
    """An image of training is in test, a sound of training in validation."""
    others = [row(str(n), answer=str(n % 2), image=png(n + 9), audio=wav(n + 9)) for n in range(4)]
    return [
        *others,
        row("train image", answer="0", image=png(1), audio=wav(1)),
        row("train sound", answer="1", image=png(2), audio=wav(2)),
        row("test image", "test", answer="0", image=png(1), audio=wav(3)),
        row("validation sound", "validation", answer="1", image=png(3), audio=wav(2)),
    ]


def test_leak_stops_stage(ingest, capsys, leaking):
    assert ingest(leaking) == 2
    error = capsys.readouterr().err
    assert "1 of image and 1 of audio" in error
    assert f"image {content_id(png(1))[:12]} in train, test" in error
    assert f"audio {content_id(wav(2))[:12]} in train, validation" in error
    assert "ingest.on_leak" in error
    assert not Path("samples.parquet").exists()


def test_dropped_leak_leaves_earlier_split(ingest, leaking):
    assert ingest(leaking, on_leak="drop") == 0
    assert reasons() == {"train image": "leak", "train sound": "leak"}
    assert {"test image", "validation sound"} <= set(samples()["sample_id"])
    assert read_json(Path("report.json"))["leaks"] == {"image": 1, "text": 1, "audio": 1}


def test_allowed_leak_is_counted(ingest, leaking):
    assert ingest(leaking, on_leak="allow") == 0
    assert len(samples()) == 8
    assert read_json(Path("report.json"))["leaks"] == {"image": 1, "text": 1, "audio": 1}
