"""Whether a sound file can be used."""

from components.common.errors import Problem
from components.modalities.audio.decoding import BadSound, blocks, open_sound
from components.modalities.facts import Facts


def inspect(content: bytes) -> Facts | Problem:
    """Decode a whole sound, a block at a time, or say what is wrong with it.

    Returns:
        `seconds` that are there, whatever the header declares; `rate` in Hz; `channels`; `format`
        of the file and of its samples, as `WAV PCM_16`.
    """
    try:
        with open_sound(content) as sound:
            samples = sum(len(block) for block in blocks(sound))
            return {
                "seconds": samples / sound.samplerate,
                "rate": sound.samplerate,
                "channels": sound.channels,
                "format": f"{sound.format} {sound.subtype}",
            }
    except BadSound as error:
        return Problem(error.reason, str(error))
