"""A clip's bytes are a function of the text and the voice, and of nothing else."""

import io
import random

import pytest
import soundfile

from components.ingest.sources.speech import SpeechError, Utterance, speak

TEXTS = ("is there a red shape?", "what color is the circle?", "does the image not contain teal?")
VOICES = (("en-us", 150, 35), ("en-gb-scotland", 190, 60), ("en-029", 170, 60))
UTTERANCES = [Utterance(text, *voice) for voice in VOICES for text in TEXTS]


@pytest.fixture(scope="module")
def clips() -> dict[Utterance, bytes]:
    return dict(zip(UTTERANCES, speak(UTTERANCES, 1), strict=True))


def test_a_clip_is_a_wav_file_with_sound(clips):
    for clip in clips.values():
        samples, rate = soundfile.read(io.BytesIO(clip))
        assert rate == 22_050
        assert samples.ndim == 1
        assert 0.5 < len(samples) / rate < 5
        assert abs(samples).max() > 0.05


def test_every_text_and_every_voice_sounds_different(clips):
    assert len(set(clips.values())) == len(UTTERANCES)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_neither_order_nor_workers_change_a_clip(clips, workers, seed):
    order = random.Random(seed).sample(UTTERANCES * 2, len(UTTERANCES) * 2)
    assert list(speak(order, workers)) == [clips[utterance] for utterance in order]


def test_a_clip_alone_in_its_process_is_the_same(clips):
    last = UTTERANCES[-1]
    assert list(speak([last], 1)) == [clips[last]]


def test_nothing_asked_gives_nothing():
    assert list(speak([], 2)) == []


def test_text_outside_of_ascii_is_spoken():
    (clip,) = speak([Utterance("café über", "en-us", 150, 50)], 1)
    assert len(clip) > 10_000


def test_an_unknown_voice_is_named():
    with pytest.raises(SpeechError, match="eSpeak NG has no voice 'en-klingon'"):
        list(speak([UTTERANCES[0], Utterance("hello", "en-klingon", 150, 50)], 1))


@pytest.mark.parametrize("text", ["two\nlines", "nul\0"])
def test_a_text_that_would_break_the_protocol_is_refused(text):
    with pytest.raises(SpeechError, match="line break or NUL"):
        list(speak([Utterance(text, "en-us", 150, 50)], 1))
