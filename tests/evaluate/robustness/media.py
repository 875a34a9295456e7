"""Media that look, read and sound like something, by modality and asset id."""

import numpy as np
from PIL import Image, ImageDraw

from components.common.hashing import content_id
from tests.shrunk import encoded, wav

RATE = 16_000  # Hz
TEXTS = (
    "what color is the triangle?",
    "Is there a circle, or is it a blue rectangle?",
    "No red shape can be seen here; why do you ask?",
    "does the picture show anything that is not grey?",
)


def _drawing(seed: int) -> bytes:
    """A shape on a ground that is nearly one colour."""
    random = np.random.default_rng(seed)
    ground, ink = random.integers(150, 230, 3), random.integers(20, 130, 3)
    left, top = random.integers(5, 40, 2)
    image = Image.new("RGB", (120, 96), tuple(ground.tolist()))
    box = (left, top, left + 61, top + 53)
    ImageDraw.Draw(image).ellipse(box, fill=tuple(ink.tolist()))
    return encoded(image)


def _voice(seed: int) -> bytes:
    """Harmonics that come and go, as vowels do."""
    at = np.arange(RATE) / RATE
    pitch = np.random.default_rng(seed).uniform(100, 200)
    harmonics = sum(np.sin(2 * np.pi * pitch * n * at) / n for n in range(1, 30))
    return wav(0.2 * harmonics * np.sin(2 * np.pi * 3 * at) ** 2, RATE)


def _named(*contents: bytes) -> dict[str, bytes]:
    return {content_id(content): content for content in contents}


MEDIA = {
    "image": _named(*map(_drawing, range(4))),
    "text": _named(*(text.encode() for text in TEXTS)),
    "audio": _named(*map(_voice, range(3))),
}
