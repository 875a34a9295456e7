"""Sound files of every kind become spectrograms of one kind."""

import numpy as np
import pytest
import torch

from components.common.errors import Problem
from components.modalities.audio.inspection import inspect
from components.modalities.audio.processing import SpectrogramProcessor
from components.modalities.modality import UnusableAsset
from components.preprocess.settings import settings_for
from tests.support.media import wav
from tests.support.params import small_settings
from tests.support.sounds import KINDS, damaged, flac, riff, sound, tone

SETTINGS = small_settings(settings_for("audio")).preprocess.audio
RATE = SETTINGS.sample_rate


@pytest.fixture(scope="module")
def audio():
    return SpectrogramProcessor(SETTINGS)


def test_frames_follow_duration(audio):
    result = audio([wav(tone(440, 0.5)), wav(tone(440, 1.0))])
    assert result["mels"].shape == (2, SETTINGS.n_mels, SETTINGS.frames)
    assert result["lengths"].tolist() == [0.5 * RATE // 256 + 1, 1.0 * RATE // 256 + 1]
    for mels, length in zip(result["mels"], result["lengths"], strict=True):
        assert (mels[:, length:] == 0).all()
        assert mels[:, :length].mean().abs() < 1e-5
        assert (mels[:, :length].std() - 1).abs() < 1e-3


@pytest.mark.parametrize("samples", [1, 2, 100, 256, 257])
def test_single_samples_are_enough(audio, samples):
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
def test_sample_rate_does_not_matter(audio, rate):
    here = audio([wav(tone(1000, 1.0))])
    there = audio([wav(tone(1000, 1.0, rate), rate)])
    assert (here["lengths"] - there["lengths"]).abs() <= 1
    loudest = [result["mels"][0, :, 2:25].mean(1).argmax() for result in (here, there)]
    assert loudest[0] == loudest[1]


def test_volume_does_not_matter(audio):
    loud, soft = (audio([wav(f * tone(440), subtype="FLOAT")])["mels"] for f in (1.0, 0.5))
    assert (loud - soft).abs().mean() < 0.1


def test_sound_beyond_limit_has_no_influence(audio):
    seconds = SETTINGS.max_seconds
    long = np.concatenate([tone(440, seconds + 0.5), tone(2000, 1.0)])
    other = np.concatenate([tone(440, seconds + 0.5), tone(200, 3.0)])
    assert audio([wav(long)])["mels"].equal(audio([wav(other)])["mels"])
    assert int(audio([wav(long)])["lengths"][0]) == SETTINGS.frames


def test_batched_equals_alone(audio):
    contents = [wav(0), wav(tone(440, 1.0)), wav(tone(300, 0.1))]
    together = audio(contents)
    for row, content in enumerate(contents):
        alone = audio([content])
        assert together["mels"][row].equal(alone["mels"][0])
        assert together["lengths"][row] == alone["lengths"][0]


@pytest.mark.parametrize("kept", ["exactly", "one sample less", "one sample more", "twice"])
def test_full_length_is_normalised(audio, kept):
    limit = SETTINGS.frames * SETTINGS.hop_length
    count = {"exactly": 0, "one sample less": -1, "one sample more": 1, "twice": limit}[kept]
    noise = np.random.default_rng(0).normal(scale=0.1, size=limit + count)
    noise[limit - 600 :] *= 5
    result = audio([wav(noise)])
    assert int(result["lengths"][0]) == SETTINGS.frames
    assert result["mels"].mean().abs() < 1e-5
    assert (result["mels"].std() - 1).abs() < 1e-3


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_sound_beyond_limit_is_not_decoded(audio, rate):
    start = tone(440, SETTINGS.max_seconds + 0.2, rate)
    broken = np.append(start, [np.nan] * rate)
    whole, cut = (audio([wav(samples, rate, "FLOAT")])["mels"] for samples in (broken, start))
    assert whole.equal(cut)


@pytest.mark.parametrize("rate", [44_100, 191_999])
def test_end_of_decoded_part_has_no_influence(audio, rate):
    """A resampling filter looks ahead: as much as it needs is decoded."""
    seconds = SETTINGS.frames * SETTINGS.hop_length / RATE + 0.1
    long = tone(440, seconds + 1, rate)
    exact = long[: int(rate * seconds) + 1]
    whole, cut = (audio([wav(samples, rate, "FLOAT")])["mels"] for samples in (long, exact))
    assert whole.equal(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_file_format_does_not_matter(audio, kind):
    sweep = np.sin(2 * np.pi * 1000 * np.linspace(0, 1, 8000) ** 2)
    noise = np.random.default_rng(0).normal(scale=0.1, size=8000)
    plain = audio([wav(0.3 * sweep + noise)])["mels"][0, :, 3:30]
    mels = audio([sound(0.3 * sweep + noise, kind)])["mels"][0, :, 3:30]
    assert torch.corrcoef(torch.stack([plain.flatten(), mels.flatten()]))[0, 1] > 0.75


def test_flac_is_lossless(audio):
    noise = np.random.default_rng(0).integers(-9000, 9000, 8000, dtype=np.int16)
    assert audio([sound(noise, "FLAC")])["mels"].equal(audio([wav(noise)])["mels"])


@pytest.mark.parametrize("channels", [3, 8, 64])
def test_equal_channels_equal_one(audio, channels):
    many = audio([wav(np.stack([tone(440)] * channels, 1))])["mels"]
    torch.testing.assert_close(many, audio([wav(tone(440))])["mels"], atol=1e-4, rtol=0)


def test_offset_changes_lowest_bands_only(audio):
    noise = np.random.default_rng(0).normal(scale=0.1, size=RATE)
    heard = [audio([wav(x, subtype="FLOAT")])["mels"][0, :, :31] for x in (noise, noise + 0.5)]
    alike = [torch.corrcoef(torch.stack(band))[0, 1] for band in zip(*heard, strict=True)]
    assert alike[0] < 0.5
    assert min(alike[3:]) > 0.99


@pytest.mark.parametrize("factor", [100.0, 2.0**31])
def test_samples_beyond_one_are_scaled(audio, factor):
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
def test_unusable_sound_is_refused(audio, content, reason):
    with pytest.raises(UnusableAsset) as error:
        audio([wav(0), content])
    assert error.value.reason == reason


def test_inspected_sound_becomes_finite(audio):
    usable = [c for c in damaged(300) if not isinstance(inspect(c), Problem)]
    assert len(usable) > 50
    result = audio(usable)
    assert result["mels"].isfinite().all()
    assert result["lengths"].min() >= 1
