"""Decodes sound files to samples, without torch: ingest checks files with it."""

import io
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from components.common.formats import SOUND, START, recognised
from components.modalities.modality import UnusableAsset

MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
MAX_MAGNITUDE = 2.0**31  # of a sample; 32-bit numbers stored as floats reach it
BLOCK = 2**20  # samples of all channels that are decoded at once
NO_HEADER = 24  # libsndfile's error when the rate is below 1 or the length below 0


@contextmanager
def open_sound(content: bytes) -> Iterator[soundfile.SoundFile]:
    """Open a sound file, whose content tells the format; UnusableAsset if it cannot be decoded."""
    if not content:
        raise UnusableAsset("audio_empty", "the file is empty")
    try:
        with soundfile.SoundFile(_File(content)) as sound:
            if not MIN_RATE <= sound.samplerate <= MAX_RATE:
                raise _bad_rate(f"{sound.samplerate} Hz")
            yield sound
    except soundfile.LibsndfileError as error:
        if error.code == NO_HEADER:
            raise _bad_rate("impossible") from error
        # Not str(error): it names an address in memory, which differs from run to run.
        found = recognised(content[:START], SOUND) or f"it begins with {content[:16]!r}"
        detail = f"the sound cannot be decoded: {error.error_string.rstrip('.')}; {found}"
        raise UnusableAsset("audio_undecodable", detail) from error


def blocks(sound: soundfile.SoundFile, limit: int = sys.maxsize) -> Iterator[np.ndarray]:
    """Yield blocks of samples, float32 [s], with the channels averaged, `limit` samples in all.

    The length that a header declares is never allocated: reading ends where the samples end.

    Raises:
        UnusableAsset: there is no sample, or one that is not finite or too large.
    """
    size, done = max(1, BLOCK // sound.channels), 0
    while done < limit and len(block := sound.read(min(size, limit - done), dtype="float32")):
        peak = np.abs(block).max()  # not a number if any sample is not
        if not np.isfinite(peak):
            detail = "the sound holds samples that are infinite or not a number"
            raise UnusableAsset("audio_not_finite", detail)
        if peak > MAX_MAGNITUDE:
            detail = f"a sample is {peak:.3g}, expected at most {MAX_MAGNITUDE:.3g}"
            raise UnusableAsset("audio_too_loud", detail)
        done += len(block)
        yield block if block.ndim == 1 else block.mean(axis=1)
    if not done:
        raise UnusableAsset("audio_empty", "the sound has no samples")


def decode(content: bytes, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Return a sound or its first seconds, as of `blocks`, float32 [S], and its rate in Hz."""
    with open_sound(content) as sound:
        limit = sys.maxsize if seconds is None else math.ceil(seconds * sound.samplerate)
        return np.concatenate(list(blocks(sound, limit))), sound.samplerate


def lasts_longer(content: bytes, seconds: float) -> bool:
    """Return whether a usable sound is longer; a header that declares too much is not believed."""
    with open_sound(content) as sound:
        longest = math.floor(seconds * sound.samplerate)
        if sound.frames <= longest:
            return False
        return sum(map(len, blocks(sound, longest + 1))) > longest


class _File(io.BytesIO):
    """A file in memory that ignores seeks below 0, which damaged headers cause."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:  # libsndfile cannot pass it on, so it would be printed
            return self.tell()


def _bad_rate(found: str) -> UnusableAsset:
    detail = f"the sample rate is {found}, expected {MIN_RATE} to {MAX_RATE} Hz"
    return UnusableAsset("audio_rate", detail)
