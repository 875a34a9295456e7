"""Checks sound files."""

from typing import Any

import numpy as np
from scipy.fft import next_fast_len, rfft

from components.common.errors import Problem
from components.modalities.audio.decoding import blocks, open_sound
from components.modalities.modality import FINGERPRINT, Facts, Preview, UnusableAsset

LISTEN = 30  # seconds from which a fingerprint is made
PARTS = 4  # of a fingerprint, in time
EDGES = np.geomspace(100.0, 3500.0, 17)  # of its bands, in Hz, which all formats and rates keep
RANGE = 30.0  # dB below the loudest band that it tells apart


def inspect(content: bytes) -> Facts | Problem:
    """Return `seconds` that are there, whatever the header says, and `rate` in Hz; or a problem.

    A sound that is neither silent nor very short has a fingerprint.
    """
    try:
        return _measure(content)
    except UnusableAsset as error:
        return error.problem


def preview(content: bytes) -> Preview:
    """Return the length of the sound."""
    return Preview(text=f"{_measure(content)['seconds']:.1f} s of sound")


def _measure(content: bytes) -> Facts:
    """Decode a whole sound, one block at a time."""
    with open_sound(content) as sound:
        heard, count, rate = [], 0, sound.samplerate
        for block in blocks(sound):
            if count < LISTEN * rate:
                heard.append(block)
            count += len(block)
    found = fingerprint(np.concatenate(heard)[: LISTEN * rate], rate)
    facts = {"seconds": count / rate, "rate": rate}
    return facts if found is None else facts | {FINGERPRINT: found}


def fingerprint(samples: np.ndarray, rate: int) -> bytes | None:
    """Return the spectrum of four overlapping parts, which another format hardly changes.

    A byte is the power of a part in a band: 0 at `RANGE` dB below the loudest, 255 at the loudest.
    None of a sound that is silent, or too short for its lowest band.

    Args:
        samples: float32 [S].
        rate: in Hz.
    """
    hop = len(samples) // (PARTS + 1)
    size = int(next_fast_len(max(1, 2 * hop), real=True) or 0)
    places = (EDGES * size / rate).astype(int)
    if places[1] <= places[0]:
        return None
    angles = np.linspace(0, 2 * np.pi, 2 * hop, dtype=np.float32)
    parts = np.lib.stride_tricks.sliding_window_view(samples, 2 * hop)[::hop][:PARTS]
    spectra: Any = rfft(parts * (0.5 - 0.5 * np.cos(angles)), size)  # [PARTS, size // 2 + 1]
    spectra = spectra[:, : places[-1]]
    bands = np.add.reduceat(spectra.real**2 + spectra.imag**2, places[:-1], axis=1)
    if not (loudest := bands.max()):
        return None
    decibels = 10 * np.log10(np.maximum(bands / loudest, 10 ** (-RANGE / 10)))
    return np.rint(255 * (1 + decibels / RANGE)).astype(np.uint8).tobytes()
