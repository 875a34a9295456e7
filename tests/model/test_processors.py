"""Texts and sounds of every kind become tensors of one kind."""

import numpy as np
import pytest
import torch

from components.model.processors.audio import AudioProcessor
from components.model.processors.text import PAD, SPECIAL, TextProcessor, train_tokenizer
from tests.shrunk import small_settings, wav

SETTINGS = small_settings().preprocess
CORPUS = ["is there a red shape?", "what color is the circle?", "is no teal shape present?"]
RATE = SETTINGS.audio.sample_rate


@pytest.fixture(scope="module")
def text():
    return TextProcessor(SETTINGS.text, train_tokenizer(CORPUS, SETTINGS.text))


@pytest.fixture(scope="module")
def audio():
    return AudioProcessor(SETTINGS.audio)


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(
    "words", ["", " ", "?", "привет мир", "你好", "🙂🙃", "naïve", "\x00", "A" * 1000]
)
def test_any_text_is_encoded_within_the_limit(text, words):
    result = text([words.encode()])
    tokens, length = result["tokens"], int(result["lengths"][0])
    assert tokens.shape == (1, SETTINGS.text.max_tokens)
    assert 1 <= length <= SETTINGS.text.max_tokens
    assert (tokens[0, length:] == PAD).all()
    assert tokens.min() >= 0 and tokens.max() < SETTINGS.text.vocabulary


@pytest.mark.parametrize("words", ["is it red?", "привет", "你好", "🙂", "e\u0301"])
def test_a_short_text_can_be_read_back(text, words):
    result = text([words.encode()])
    ids = result["tokens"][0, : result["lengths"][0]].tolist()
    assert text.tokenizer.decode(ids).strip() == words.replace("e\u0301", "é")


def test_a_long_text_is_cut_at_its_end(text):
    short = text([b"is there a red shape?"])
    long = text([b"is there a red shape?" + b" and so on" * 50])
    length = int(short["lengths"][0])
    assert long["tokens"][0, :length].equal(short["tokens"][0, :length])
    assert int(long["lengths"][0]) == SETTINGS.text.max_tokens


def test_one_accent_written_in_two_ways_is_one_text(text):
    assert text(["é".encode()])["tokens"].equal(text(["e\u0301".encode()])["tokens"])


def test_a_text_that_spells_a_special_token_is_a_text_like_any_other(text):
    """A user's text must not be able to say "masked" or "nothing here"."""
    for word in SPECIAL:
        result = text([f"is {word} red?".encode()])
        assert not {0, 1} & set(result["tokens"][0, : result["lengths"][0]].tolist())


def test_the_tokenizer_does_not_depend_on_the_order_of_the_corpus():
    one, other = (train_tokenizer(texts, SETTINGS.text) for texts in (CORPUS, CORPUS[::-1]))
    assert one.to_str() == other.to_str()
    assert one.get_vocab_size() <= SETTINGS.text.vocabulary


def test_sound_becomes_as_many_frames_as_it_lasts(audio):
    result = audio([wav(tone(440, 0.5)), wav(tone(440, 1.0))])
    assert result["mels"].shape == (2, SETTINGS.audio.mels, SETTINGS.audio.frames)
    assert result["lengths"].tolist() == [0.5 * RATE // 256 + 1, 1.0 * RATE // 256 + 1]
    for mels, length in zip(result["mels"], result["lengths"], strict=True):
        assert (mels[:, length:] == 0).all()
        assert mels[:, :length].mean().abs() < 1e-5
        assert (mels[:, :length].std() - 1).abs() < 1e-3


@pytest.mark.parametrize("samples", [1, 2, 100, 256, 257])
def test_a_click_is_sound_too(audio, samples):
    result = audio([wav(tone(440)[:samples])])
    assert int(result["lengths"][0]) == samples // 256 + 1
    assert result["mels"].isfinite().all()


def test_silence_is_finite(audio):
    assert audio([wav(np.zeros(RATE))])["mels"].isfinite().all()


def test_channels_are_averaged(audio):
    left, right = tone(300), tone(900)
    stereo = audio([wav(np.stack([left, right], 1), subtype="FLOAT")])["mels"]
    mono = audio([wav((left + right) / 2, subtype="FLOAT")])["mels"]
    torch.testing.assert_close(stereo, mono, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [11025, 16000, 44100, 48000])
def test_another_sample_rate_sounds_the_same(audio, rate):
    here = audio([wav(tone(1000, 1.0))])
    there = audio([wav(tone(1000, 1.0, rate), rate)])
    assert (here["lengths"] - there["lengths"]).abs() <= 1
    loudest = [result["mels"][0, :, 2:25].mean(1).argmax() for result in (here, there)]
    assert loudest[0] == loudest[1]


def test_volume_does_not_matter(audio):
    loud, soft = (audio([wav(f * tone(440), subtype="FLOAT")])["mels"] for f in (1.0, 0.5))
    assert (loud - soft).abs().mean() < 0.1


def test_sound_beyond_the_limit_has_no_influence(audio):
    seconds = SETTINGS.audio.max_seconds
    long = np.concatenate([tone(440, seconds + 0.5), tone(2000, 1.0)])
    other = np.concatenate([tone(440, seconds + 0.5), tone(200, 3.0)])
    assert audio([wav(long)])["mels"].equal(audio([wav(other)])["mels"])
    assert int(audio([wav(long)])["lengths"][0]) == SETTINGS.audio.frames


def test_sounds_in_one_batch_are_as_if_alone(audio):
    contents = [wav(0), wav(tone(440, 1.0)), wav(tone(300, 0.1))]
    together = audio(contents)
    for row, content in enumerate(contents):
        alone = audio([content])
        assert together["mels"][row].equal(alone["mels"][0])
        assert together["lengths"][row] == alone["lengths"][0]
