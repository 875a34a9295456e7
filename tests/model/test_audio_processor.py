"""Sound of every kind becomes spectrograms of one kind."""

import numpy as np
import pytest
import torch

from components.common.errors import Problem
from components.modalities.audio.decoding import BadSound
from components.modalities.audio.inspection import inspect
from components.modalities.audio.spectrogram import AudioProcessor
from tests.shrunk import small_settings, wav
from tests.sounds import KINDS, damaged, flac, riff, sound, tone

SETTINGS = small_settings().preprocess.audio
RATE = SETTINGS.sample_rate


@pytest.fixture(scope="module")
def audio():
    return AudioProcessor(SETTINGS)


def test_sound_becomes_as_many_frames_as_it_lasts(audio):
    result = audio([wav(tone(440, 0.5)), wav(tone(440, 1.0))])
    assert result["mels"].shape == (2, SETTINGS.mels, SETTINGS.frames)
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


@pytest.mark.parametrize("rate", [8001, 11025, 16000, 44099, 44100, 48000, 191_999, 192_000])
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
    seconds = SETTINGS.max_seconds
    long = np.concatenate([tone(440, seconds + 0.5), tone(2000, 1.0)])
    other = np.concatenate([tone(440, seconds + 0.5), tone(200, 3.0)])
    assert audio([wav(long)])["mels"].equal(audio([wav(other)])["mels"])
    assert int(audio([wav(long)])["lengths"][0]) == SETTINGS.frames


def test_sounds_in_one_batch_are_as_if_alone(audio):
    contents = [wav(0), wav(tone(440, 1.0)), wav(tone(300, 0.1))]
    together = audio(contents)
    for row, content in enumerate(contents):
        alone = audio([content])
        assert together["mels"][row].equal(alone["mels"][0])
        assert together["lengths"][row] == alone["lengths"][0]


@pytest.mark.parametrize("kept", ["exactly", "one sample less", "one sample more", "twice"])
def test_sound_as_long_as_the_limit_has_mean_0_and_deviation_1(audio, kept):
    limit = SETTINGS.frames * SETTINGS.hop
    count = {"exactly": 0, "one sample less": -1, "one sample more": 1, "twice": limit}[kept]
    noise = np.random.default_rng(0).normal(scale=0.1, size=limit + count)
    noise[limit - 600 :] *= 5
    result = audio([wav(noise)])
    assert int(result["lengths"][0]) == SETTINGS.frames
    assert result["mels"].mean().abs() < 1e-5
    assert (result["mels"].std() - 1).abs() < 1e-3


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_sound_beyond_the_limit_is_not_even_decoded(audio, rate):
    start = tone(440, SETTINGS.max_seconds + 0.2, rate)
    broken = np.append(start, [np.nan] * rate)
    whole, cut = (audio([wav(samples, rate, "FLOAT")])["mels"] for samples in (broken, start))
    assert whole.equal(cut)


@pytest.mark.parametrize("rate", [44_100, 191_999])
def test_the_end_of_what_is_decoded_is_not_heard(audio, rate):
    """A resampling filter hears what comes after: as much as it needs is decoded."""
    seconds = SETTINGS.frames * SETTINGS.hop / RATE + 0.1
    long = tone(440, seconds + 1, rate)
    exact = long[: int(rate * seconds) + 1]
    whole, cut = (audio([wav(samples, rate, "FLOAT")])["mels"] for samples in (long, exact))
    assert whole.equal(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_sounds_the_same(audio, kind):
    sweep = np.sin(2 * np.pi * 1000 * np.linspace(0, 1, 8000) ** 2)
    noise = np.random.default_rng(0).normal(scale=0.1, size=8000)
    plain = audio([wav(0.3 * sweep + noise)])["mels"][0, :, 3:30]
    mels = audio([sound(0.3 * sweep + noise, kind)])["mels"][0, :, 3:30]
    assert torch.corrcoef(torch.stack([plain.flatten(), mels.flatten()]))[0, 1] > 0.75


def test_flac_is_lossless(audio):
    noise = np.random.default_rng(0).integers(-9000, 9000, 8000, dtype=np.int16)
    assert audio([sound(noise, "FLAC")])["mels"].equal(audio([wav(noise)])["mels"])


@pytest.mark.parametrize("channels", [3, 8, 64])
def test_the_same_in_every_channel_is_as_in_one(audio, channels):
    many = audio([wav(np.stack([tone(440)] * channels, 1))])["mels"]
    torch.testing.assert_close(many, audio([wav(tone(440))])["mels"], atol=1e-4, rtol=0)


def test_an_offset_is_heard_in_the_lowest_bands_only(audio):
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE)
    heard = [audio([wav(x, subtype="FLOAT")])["mels"][0, :, :31] for x in (noise, noise + 0.5)]
    alike = [torch.corrcoef(torch.stack(band))[0, 1] for band in zip(*heard, strict=True)]
    assert alike[0] < 0.5
    assert min(alike[3:]) > 0.99


@pytest.mark.parametrize("factor", [100.0, 2.0**31])
def test_samples_beyond_one_are_a_volume_like_any_other(audio, factor):
    noise = np.random.default_rng(0).uniform(-1, 1, size=RATE)
    plain, loud = (audio([wav(x, subtype="FLOAT")])["mels"] for x in (noise, factor * noise))
    torch.testing.assert_close(plain, loud, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "audio_empty"),
        (b"is it red?", "audio_undecodable"),
        (riff(b""), "audio_empty"),
        (riff(rate=0), "audio_rate"),
        (riff(rate=4000), "audio_rate"),
        (flac(tone(440), 2**36 - 1), "audio_undecodable"),
        (wav(np.full(500, np.inf), subtype="FLOAT"), "audio_not_finite"),
        (wav(np.full(500, 1e30), subtype="FLOAT"), "audio_too_loud"),
    ],
)
def test_a_bad_sound_is_refused(audio, content, reason):
    with pytest.raises(BadSound) as error:
        audio([wav(0), content])
    assert error.value.reason == reason


def test_whatever_passes_the_check_becomes_finite(audio):
    usable = [c for c in damaged(300) if not isinstance(inspect(c), Problem)]
    assert len(usable) > 50
    result = audio(usable)
    assert result["mels"].isfinite().all()
    assert result["lengths"].min() >= 1
