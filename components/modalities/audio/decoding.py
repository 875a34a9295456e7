"""Sound files to samples.

Without torch, so that the ingest stage checks with the same code what is converted later.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz
LOUDEST = 2.0**31  # of a sample's magnitude: 32-bit numbers that were stored as floats reach it
BLOCK = 2**20  # samples, of all channels together, that are decoded at once
NO_HEADER = 24  # libsndfile's error when the rate is below 1 or the length below 0


class BadSound(ValueError):
    """A sound that cannot be used; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason


@contextmanager
def open_sound(content: bytes) -> Iterator[soundfile.SoundFile]:
    """The decoder of a sound file; its format is found in the content.

    Raises:
        BadSound: it is no sound, its header is impossible, or decoding fails while it is open.
    """
    if not content:
        raise BadSound("audio_empty", "the file is empty")
    try:
        with soundfile.SoundFile(_File(content)) as sound:
            if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
                raise _bad_rate(f"{sound.samplerate} Hz")
            yield sound
    except soundfile.LibsndfileError as error:
        if error.code == NO_HEADER:
            raise _bad_rate("impossible") from error
        # Not str(error): it names an address in memory, which differs from run to run.
        detail = f"the sound cannot be decoded: {error.error_string}"
        raise BadSound("audio_undecodable", detail) from error


def blocks(sound: soundfile.SoundFile, limit: float = math.inf) -> Iterator[np.ndarray]:
    """The samples of an open sound, its channels averaged, as float32 [s] after [s].

    What a header declares is never allocated: a block is read, and reading ends where the samples
    do.

    Args:
        sound: from `open_sound`.
        limit: samples after which to stop.

    Raises:
        BadSound: there is no sample, or one that is not finite or beyond all measure.
    """
    size, done = max(1, BLOCK // sound.channels), 0
    while done < limit and len(block := sound.read(min(size, limit - done), dtype="float32")):
        _check(block)
        done += len(block)
        yield block if block.ndim == 1 else block.mean(axis=1)
    if not done:
        raise BadSound("audio_empty", "the sound has no samples")


def decode(content: bytes, seconds: float) -> tuple[np.ndarray, int]:
    """The first `seconds` of a sound, its channels averaged: float32 [S], and its rate in Hz.

    Raises:
        BadSound: see `open_sound` and `blocks`.
    """
    with open_sound(content) as sound:
        rate = sound.samplerate
        return np.concatenate(list(blocks(sound, math.ceil(seconds * rate)))), rate


class _File(io.BytesIO):
    """A file in memory whose position stays where it is when a damaged header sends it below 0."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:  # would be printed with a traceback: libsndfile cannot pass it on
            return self.tell()


def _bad_rate(found: str) -> BadSound:
    return BadSound(
        "audio_rate", f"the sample rate is {found}, expected {LOWEST_RATE} to {HIGHEST_RATE} Hz"
    )


def _check(block: np.ndarray) -> None:
    peak = np.abs(block).max()  # not a number if any sample is not
    if not np.isfinite(peak):
        raise BadSound(
            "audio_not_finite", "the sound holds samples that are infinite or not a number"
        )
    if peak > LOUDEST:
        raise BadSound("audio_too_loud", f"a sample is {peak:.3g}, expected at most {LOUDEST:.3g}")
