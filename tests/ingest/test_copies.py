"""Images and sounds of a later split are found again in another format, size or rate."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from components.common.files import read_json
from components.ingest.copies import REACH, find_copies
from components.ingest.ledger import Ledger
from components.ingest.records import Record
from tests.ingest.stage_rows import reasons, row, samples
from tests.support.media import encoded, wav

RATE = 16_000


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return smooth patches of colour, as a photograph has them."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def voice(seed: int, seconds: float = 1.5) -> np.ndarray:
    """Return tones that follow each other, as a sentence has them."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    pitches = np.repeat(rng.uniform(150, 3000, 12), len(time) // 12 + 1)[: len(time)]
    return 0.3 * np.sin(2 * np.pi * np.cumsum(pitches) / RATE).astype(np.float32)


def sound(samples: np.ndarray, kind: str, rate: int = RATE) -> bytes:
    """Return samples as the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


IMAGE_COPIES = {
    "JPEG": lambda image: encoded(image, "JPEG", quality=70),
    "WebP": lambda image: encoded(image, "WEBP", quality=70),
    "half the size": lambda image: encoded(image.resize((80, 60))),
    "twice the size": lambda image: encoded(image.resize((320, 240))),
}
SOUND_COPIES = {
    "FLAC": lambda samples: sound(samples, "FLAC"),
    "Ogg": lambda samples: sound(samples, "OGG"),
    "half as loud": lambda samples: sound(samples / 2, "WAV"),
    "half the rate": lambda samples: sound(samples[::2], "WAV", RATE // 2),
}
JPEG = IMAGE_COPIES["JPEG"](scene(1))


def distinct(row_id: str, split: str, seed: int, **copies: bytes) -> Record:
    """Return a row with media like no other's, but for copies."""
    media = {"image": encoded(scene(seed)), "audio": sound(voice(seed), "WAV"), **copies}
    return row(row_id, split, str(seed % 2), **media)


def rows(**copies: bytes) -> list[Record]:
    """Return distinct rows of training, and one of test with copies of the media of row `1`."""
    train = [distinct(str(n), "train", n) for n in range(4)]
    return [*train, distinct("copy", "test", 10, **copies)]


def test_every_kind_of_copy_is_found(ingest):
    kinds = [*IMAGE_COPIES, *SOUND_COPIES]
    train = [distinct(kind, "train", seed) for seed, kind in enumerate(kinds)]
    copies = [{"image": IMAGE_COPIES[k](scene(n))} for n, k in enumerate(IMAGE_COPIES)]
    copies += [{"audio": SOUND_COPIES[k](voice(n))} for n, k in enumerate(SOUND_COPIES, 4)]
    test = [distinct(f"copy {n}", "test", 10 + n, **copy) for n, copy in enumerate(copies)]
    others = [distinct(str(n), "train", n) for n in (8, 9)]
    assert ingest([*train, *others, *test], on_copy="drop") == 0
    assert read_json(Path("report.json"))["copies"] == {"image": 4, "audio": 4}
    assert reasons() == dict.fromkeys(kinds, "copy")


@pytest.mark.parametrize(
    ("m", "content"), [("image", JPEG), ("audio", SOUND_COPIES["FLAC"](voice(1)))]
)
def test_copy_in_another_split_is_shown(ingest, caplog, m, content):
    assert ingest(rows(**{m: content}), page=True) == 0
    report = read_json(Path("report.json"))
    assert report["copies"] == {"image": 0, "audio": 0} | {m: 1}
    assert report["leaks"] == {"image": 0, "audio": 0, "text": 1}  # the same text, which may recur
    (warning,) = [line.getMessage() for line in caplog.records if "later split" in line.message]
    assert f"(1 of {m})" in warning
    page = Path("page.html").read_text()
    assert "Alike in several splits" in page
    assert len(samples()) == 5


def test_different_media_are_no_copies(ingest):
    assert ingest(rows(), page=True) == 0
    assert read_json(Path("report.json"))["copies"] == {"image": 0, "audio": 0}
    assert "Alike in several splits" not in Path("page.html").read_text()


def test_copies_leave_the_earlier_split(ingest):
    assert ingest(rows(image=JPEG), on_copy="drop") == 0
    assert reasons() == {"1": "copy"}
    assert "copy" in set(samples()["sample_id"])


def test_copies_stop_the_stage_if_settings_say_so(ingest, capfd):
    assert ingest(rows(image=JPEG), on_copy="error") == 2
    error = capfd.readouterr().err
    assert "(1 of image)" in error and "ingest.on_copy: drop" in error


def test_copies_are_ignored_if_settings_say_so(ingest):
    assert ingest(rows(image=JPEG), on_copy="ignore") == 0
    assert read_json(Path("report.json"))["copies"] == {}


@pytest.mark.parametrize("content", [wav(np.zeros(4000)), wav(np.ones(1))], ids=["silent", "short"])
def test_sounds_without_a_fingerprint_are_no_copies(ingest, content):
    others = [row(str(n), answer=str(n % 2), image=None, audio=wav(n)) for n in range(2)]
    again = np.pad(np.zeros(1), (0, 4001))
    test = row("test", "test", "0", image=None, audio=wav(again))
    assert ingest([*others, row("odd", "train", "0", image=None, audio=content), test]) == 0
    assert read_json(Path("report.json"))["copies"]["audio"] == 0


SAID = ["Where is the red ball?", "where is the  RED ball", "Where is the blue ball?"]


@pytest.mark.parametrize(("others", "copies"), [({}, 1), ({"image": encoded(scene(1))}, None)])
def test_texts_alone_are_copies_if_their_letters_are_equal(ingest, others, copies):
    """Beside other modalities a question may recur."""
    splits = zip(SAID, ("train", "test", "train"), "001", strict=True)
    nothing = {"image": None, "audio": None, "tabular": None}
    rows = [row(t, split, label, **nothing | {"text": t.encode()}) for t, split, label in splits]
    rows += [row("image", "train", "1", **nothing | {"text": b"?"} | others)] if others else []
    assert ingest(rows) == 0
    assert read_json(Path("report.json"))["copies"].get("text") == copies


def test_every_copy_within_reach_is_found(tmp_path):
    """As by comparing all pairs."""
    rng, reach = np.random.default_rng(0), REACH["image"]
    centres = rng.integers(40, 200, (20, 192))
    known = {
        f"{split} {n}": (centres[n % 20] + rng.integers(-4, 5, 192)).astype(np.uint8)
        for split in ("train", "test")
        for n in range(60)
    }
    with Ledger(tmp_path / "ledger") as ledger:
        for name, values in known.items():
            ledger.add_asset("image", name, values.tobytes())
            ledger.add_use("image", name, "train" if name.startswith("train") else "test")
        assert find_copies(ledger, "report")["image"] == sum(
            any(
                np.linalg.norm(values.astype(float) - other) <= reach
                for name, other in known.items()
                if name.startswith("test")
            )
            for own, values in known.items()
            if own.startswith("train")
        )
