"""Small media files."""

import io
import struct
import zlib

import numpy as np
import soundfile
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> Image.Image:
    """Return noise of a size (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """Return an image as the bytes of a file; options are those of Pillow's writer."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(seed: int = 0, **options) -> bytes:
    """Return the bytes of a PNG file with noise."""
    return encoded(picture(seed, **options))


def png_of(width: int, height: int, rows: bytes, depth: int = 8, kind: int = 2, *extra) -> bytes:
    """Return a PNG file with any header: kind 0 is gray, 2 RGB, 4 gray with alpha, 6 RGBA.

    Args:
        width: that the header declares, in pixels.
        height: likewise.
        rows: a filter byte and the pixels of each row.
        depth: bits per channel.
        kind: PNG's colour type.
        extra: further chunks before the pixels, each a name and a content.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*parts) for parts in chunks)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def wav(samples: np.ndarray | int = 0, rate: int = 8000, subtype: str | None = None) -> bytes:
    """Return the bytes of a WAV file with samples, or with half a second of noise from a seed."""
    if isinstance(samples, int):
        samples = np.random.default_rng(samples).normal(scale=0.1, size=rate // 2)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()
