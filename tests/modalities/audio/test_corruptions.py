"""Corrupted sounds are sounds of the same rate, worse with each severity."""

import numpy as np
import pytest
import soundfile

from components.common.hashing import content_id
from components.modalities.audio.corruptions import CORRUPTIONS
from components.modalities.audio.decoding import decode, open_sound
from components.modalities.corruption import SEVERITIES
from tests.support.corrupting import MEDIA, RATE, assert_distance_grows, corrupted
from tests.support.media import wav

CHANGES_DURATION = {"fast", "slow"}
SMALLEST = [
    wav(np.zeros(1)),
    wav(np.zeros(3000)),
    wav(np.full(2, 1.0)),
    wav(np.zeros((900, 2)), 44100),
]


def samples(content: bytes) -> np.ndarray:
    return decode(content, 10)[0]


def mean_spectrum(wave: np.ndarray) -> np.ndarray:
    """Return the mean spectrum in dB, which depends neither on duration nor on loudness."""
    spectrum = np.abs(np.fft.rfft(wave, 1 << 15)) ** 2
    bands = np.array([band.mean() for band in np.array_split(spectrum, 64)])
    return 10 * np.log10(bands / bands.sum() + 1e-9)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_duration_is_unchanged_or_scaled(name):
    for severity in SEVERITIES:
        ratio = 1.0
        if name in CHANGES_DURATION:
            up, down = CORRUPTIONS[name].levels[severity - 1]
            ratio = down / up
        for asset, content in corrupted(CORRUPTIONS[name], severity).items():
            before, after = samples(MEDIA["audio"][asset]), samples(content)
            assert len(after) == pytest.approx(len(before) * ratio, abs=1)
            assert np.isfinite(after).all() and np.abs(after).max() <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name):
    def distance(clean: bytes, changed: bytes) -> float:
        before, after = samples(clean), samples(changed)
        if name in CHANGES_DURATION | {"pitch"}:
            return float(np.abs(mean_spectrum(before) - mean_spectrum(after)).mean())
        if name == "quiet":
            return float(20 * np.log10(np.linalg.norm(before) / np.linalg.norm(after)))
        return float(np.linalg.norm(before - after) / np.linalg.norm(before))

    assert_distance_grows(CORRUPTIONS[name], distance)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_smallest_sounds_can_be_corrupted(name):
    for severity in SEVERITIES:
        for content in SMALLEST:
            assert len(samples(CORRUPTIONS[name](severity, content_id(content), content))) > 0


@pytest.mark.parametrize("name", ["white_noise", "pink_noise"])
def test_noise_has_given_power(name):
    """Of a quiet sound, so that nothing is cut off."""
    wave = 0.02 * np.sin(np.arange(4 * RATE) / 5)
    changed = samples(CORRUPTIONS[name](3, "0" * 64, wav(wave, RATE, "FLOAT")))
    ratio = 10 * np.log10((wave**2).sum() / ((changed - wave) ** 2).sum())
    assert ratio == pytest.approx(10, abs=0.1)


def test_pitch_is_raised_by_given_ratio():
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    for severity, (up, down) in zip(SEVERITIES, CORRUPTIONS["pitch"].levels, strict=True):
        found = samples(CORRUPTIONS["pitch"](severity, "0" * 64, wav(wave, RATE)))
        highest = np.abs(np.fft.rfft(found * np.hanning(len(found)))).argmax() / len(found) * RATE
        assert highest == pytest.approx(440 * up / down, rel=0.02)
        assert len(found) == len(wave)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_rate_is_kept_and_channels_are_averaged(name):
    wave = np.random.default_rng(0).normal(scale=0.1, size=(4410, 2))
    content = CORRUPTIONS[name](2, "0" * 64, wav(wave, 44100))
    with open_sound(content) as sound:
        assert (sound.samplerate, sound.channels) == (44100, 1)


def test_sounds_are_written_with_16_bits():
    content = CORRUPTIONS["quiet"](5, "0" * 64, next(iter(MEDIA["audio"].values())))
    with open_sound(content) as sound:
        assert sound.subtype == "PCM_16"
        assert soundfile.default_subtype("WAV") == "PCM_16"
