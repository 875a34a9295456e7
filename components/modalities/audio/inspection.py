"""Checks sound files."""

from components.common.errors import Problem
from components.modalities.audio.decoding import blocks, open_sound
from components.modalities.modality import Facts, Preview, UnusableAsset


def inspect(content: bytes) -> Facts | Problem:
    """Return `seconds` that are there, whatever the header says, and `rate` in Hz; or a problem."""
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
        samples = sum(len(block) for block in blocks(sound))
        return {"seconds": samples / sound.samplerate, "rate": sound.samplerate}
