"""eSpeak NG speaks the texts of any source, each in a voice of its split."""

import importlib.util
import io
import pickle

import pytest
import soundfile

from components.common.errors import InputError
from components.ingest.records import BadRow, Media, Record
from components.ingest.settings import SpeechSettings
from components.ingest.sources.voices import LONGEST, VoiceSettings, spoken, with_voices
from tests.ingest.sources.documented import documented
from tests.ingest.sources.source_files import assert_memory_is_flat
from tests.support.media import wav

NAMES = {
    "train": ["en/150/35", "en-us/170/50", "en-029/160/40"],
    "validation": ["en-us-nyc/160/45"],
    "test": ["de/150/40", "cmn/150/40"],
}
VOICES = VoiceSettings.model_validate(NAMES)


def row(number, split="train", text: str | None = "A dog.", **media: Media) -> Record:
    if text is not None:
        media["text"] = Media(text, text.encode)
    return Record(f"captions.json:{number}", split, media, {"image_id": "9"})


def voiced(*rows, seed=0, voices=VOICES) -> list:
    return list(with_voices(iter(rows), voices, seed))


def test_text_is_spoken_in_voice_of_split():
    rows = voiced(*(row(n, split) for split in NAMES for n in range(20)))
    for split, names in NAMES.items():
        assert {r.columns["voice"] for r in rows if r.split == split} == set(names)
    for r in rows:
        voice = r.columns["voice"]
        assert r.columns == {"image_id": "9", "voice": voice, "accent": voice.split("/")[0]}
        assert r.media["audio"].key == f"{voice}: A dog."
    assert rows[0].media["audio"].load().startswith(b"RIFF")


def test_voice_depends_on_row_id_and_seed():
    old = [row(n) for n in range(10)]
    choice = [r.columns["voice"] for r in voiced(*old)]
    assert [r.columns["voice"] for r in voiced(row(99), *old)[1:]] == choice
    assert [r.columns["voice"] for r in voiced(*old, seed=1)] != choice


def test_other_rows_pass_with_empty_columns():
    own = row(1, audio=Media("own.wav", wav))
    image = row(2, text=None, image=Media("a.png", bytes))
    bad = BadRow("captions.json:3", None, "image_unlisted", "image 3 is not in the file's list")
    found = voiced(own, image, bad)
    assert found[2] is bad
    for before, after in zip((own, image), found, strict=False):
        assert after.media == before.media
        assert after.columns == {"image_id": "9", "voice": None, "accent": None}


def test_spoken_text_is_normalised():
    voice = VOICES.train[0]
    clip = spoken("\ufeffcafe\u0301\r\nis\x07open ", voice).load()
    assert clip == spoken("café\nis open", voice).load()
    assert clip != spoken("cafe\nis open", voice).load()


def test_long_text_is_cut():
    voice = VOICES.train[0]
    long = "word " * 5_000
    assert spoken(long, voice).load() == spoken(long[:LONGEST], voice).load()
    samples, rate = soundfile.read(io.BytesIO(spoken(long, voice).load()))
    assert 30 < len(samples) / rate < 120


def test_sound_is_picklable():
    sound = spoken("hello", VOICES.train[0])
    assert pickle.loads(pickle.dumps(sound)).load() == sound.load()


def test_unknown_voice_is_refused_before_reading():
    def rows():
        raise AssertionError("a row was read")
        yield

    voices = VoiceSettings.model_validate(NAMES | {"test": ["en-klingon/150/50", "xx/150/50"]})
    with pytest.raises(InputError, match="speech.voices: eSpeak NG has no voice 'en-klingon', 'x"):
        next(with_voices(rows(), voices, 0))


def test_missing_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "components.ingest.sources.voices.find_spec",
        lambda name: None if name == "espeakng_loader" else find(name),
    )
    with pytest.raises(InputError, match=r"needs the extra 'speech', which is not .*\[speech\]"):
        voiced(row(1))


@pytest.mark.parametrize("column", ["voice", "accent"])
def test_columns_of_source_must_not_clash(column):
    own = Record("1", "train", row(1).media, {column: "Anna"})
    with pytest.raises(InputError, match=f"has a column '{column}', and ingest.speech.voices"):
        voiced(own)


@pytest.mark.parametrize("changes", [{}, {"tables": [{"file": "a.txt"}], "voices": NAMES}])
def test_speech_is_recorded_or_synthesised(changes):
    with pytest.raises(ValueError, match=r"tables \(recorded\) or voices \(by eSpeak NG\) is need"):
        SpeechSettings.model_validate(changes)


def test_documented_voices_exist():
    voices = documented("Spoken by eSpeak NG").speech.voices
    (found,) = voiced(row(1), voices=voices)
    assert found.columns["voice"] in {voice.name() for voice in voices.train}


def test_memory_is_flat():
    def prepare(rows):
        return lambda: with_voices((row(n) for n in range(rows)), VOICES, 0)

    assert_memory_is_flat(prepare)
