"""Sound files of every kind, valid and damaged."""

import io
import struct

import numpy as np
import soundfile

SECONDS = 0.5
KINDS = {  # name → format, sub-format, rate in Hz
    "8 bit": ("WAV", "PCM_U8", 8000),
    "16 bit": ("WAV", "PCM_16", 8000),
    "24 bit": ("WAV", "PCM_24", 8000),
    "32 bit": ("WAV", "PCM_32", 8000),
    "float": ("WAV", "FLOAT", 8000),
    "double": ("WAV", "DOUBLE", 8000),
    "extensible": ("WAVEX", "PCM_24", 8000),
    "FLAC": ("FLAC", "PCM_16", 8000),
    "Vorbis": ("OGG", "VORBIS", 8000),
    "Opus": ("OGG", "OPUS", 8000),
    "MP3": ("MP3", "MPEG_LAYER_III", 8000),
    "AIFF": ("AIFF", "PCM_16", 8000),
}


def tone(hertz: float, seconds: float = SECONDS, rate: int = 8000) -> np.ndarray:
    """A sine of amplitude 0.3: [S]."""
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def sound(samples: np.ndarray, kind: str) -> bytes:
    """The bytes of a file of one of `KINDS`, of samples [S] or [S, channels]."""
    container, subtype, rate = KINDS[kind]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def riff(
    data: bytes = bytes(1000),
    rate: int = 8000,
    channels: int = 1,
    bits: int = 16,
    declared: int | None = None,
) -> bytes:
    """A WAV file of `data`, whose header says whatever it is told to."""
    align = channels * bits // 8 & 0xFFFF
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    length = len(data) if declared is None else declared
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac(samples: np.ndarray, declared: int) -> bytes:
    """A FLAC file whose header declares another number of samples."""
    content = bytearray(sound(samples, "FLAC"))
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36  # the last 36 bits are the number
    content[18:26] = (fields | declared).to_bytes(8, "big")
    return bytes(content)


def damaged(count: int) -> list[bytes]:
    """Files of every kind with a few bytes changed or the end cut off, the same ones each time."""
    random = np.random.default_rng(0)
    whole = [sound(tone(440), kind) for kind in KINDS]
    files = []
    for number in range(count):
        content = bytearray(whole[number % len(whole)])
        for place in random.integers(min(len(content), 200), size=random.integers(1, 6)):
            content[place] = random.choice([0, 1, 127, 128, 255])
        files.append(bytes(content[: random.integers(len(content))] if number % 3 else content))
    return files
