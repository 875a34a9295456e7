"""Plain features of sound: statistics of its mel bands."""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.fft import next_fast_len, rfft

from components.modalities.audio.decoding import decode
from components.modalities.dense_features import dense_vectorizer

BANDS, HIGHEST = 32, 8_000.0  # Hz
WINDOW, HOP = 0.032, 0.016  # seconds
MAX_SECONDS = 30.0
PARTS = 8  # of equal length, whose means tell what comes when
FLOOR = 1e-8  # of the power in a band


def describe(content: bytes, inputs: None) -> np.ndarray:
    """Return statistics of a sound, float64 [1 + BANDS · (3 + PARTS)].

    They are the logarithm of its length, and per band of the log-mel spectrogram the mean, the
    deviation, the mean change from frame to frame, and the mean in each part of the sound.
    """
    wave, rate = decode(content, MAX_SECONDS)
    bands = log_mel(wave, rate)  # [T, BANDS]
    change = np.abs(np.diff(bands, axis=0, prepend=bands[:1])).mean(0)
    borders = np.linspace(0, len(bands), PARTS + 1)
    parts = [
        bands[int(first) : max(int(last), int(first) + 1)].mean(0)
        for first, last in pairwise(borders)
    ]
    length = np.log([len(wave) / rate])
    return np.concatenate([length, bands.mean(0), bands.std(0), change, *parts])


def vectorizer() -> Any:
    """See `PlainFeatures`."""
    return dense_vectorizer()


def log_mel(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return the logarithm of the power per frame and mel band, [T, BANDS]."""
    window, hop = round(WINDOW * rate), round(HOP * rate)
    size = next_fast_len(window, real=True)
    padded = np.pad(wave, (0, max(0, window - len(wave)))).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # [T, window]
    spectrum: Any = rfft(frames * np.hanning(window).astype(np.float32), size)
    power = spectrum.real**2 + spectrum.imag**2  # [T, size // 2 + 1]
    return np.log(power @ mel_filters(rate, size) / window + FLOOR)


@lru_cache
def mel_filters(rate: int, size: int) -> np.ndarray:
    """Return triangular filters of a spectrum, float32 [size // 2 + 1, BANDS].

    They lie on the mel scale of O'Shaughnessy 1987; those above half the rate are empty.
    """
    mels = np.linspace(0, 1127 * np.log1p(HIGHEST / 700), BANDS + 2)
    edges = 700 * np.expm1(mels / 1127)  # Hz
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.fft.rfftfreq(size, 1 / rate)[:, None]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)
