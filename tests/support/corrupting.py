"""Media that show, say and sound like something, and what corruptions make of them."""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from components.common.hashing import content_id
from components.modalities.corruption import SEVERITIES, Corruption
from tests.support.media import encoded, wav

RATE = 16_000  # Hz
TEXTS = (
    "what color is the triangle?",
    "Is there a circle, or is it a blue rectangle?",
    "No red shape can be seen here; why do you ask?",
    "does the picture show anything that is not grey?",
)
MIN_RATIO = 0.98  # of the distances at two neighbouring severities; JPEG's are not quite monotonic


def _drawing(seed: int) -> bytes:
    """Return a shape on a ground of nearly one colour."""
    random = np.random.default_rng(seed)
    ground, ink = random.integers(150, 230, 3), random.integers(20, 130, 3)
    left, top = random.integers(5, 40, 2)
    image = Image.new("RGB", (120, 96), tuple(ground.tolist()))
    box = (left, top, left + 61, top + 53)
    ImageDraw.Draw(image).ellipse(box, fill=tuple(ink.tolist()))
    return encoded(image)


def _voice(seed: int) -> bytes:
    """Return harmonics that come and go, as vowels do."""
    at = np.arange(RATE) / RATE
    pitch = np.random.default_rng(seed).uniform(100, 200)
    harmonics = sum(np.sin(2 * np.pi * pitch * n * at) / n for n in range(1, 30))
    return wav(0.2 * harmonics * np.sin(2 * np.pi * 3 * at) ** 2, RATE)


def by_id(*contents: bytes) -> dict[str, bytes]:
    """Return contents by asset id."""
    return {content_id(content): content for content in contents}


def _row(seed: int) -> bytes:
    """Return a row of eight numbers and two categories."""
    numbers = np.random.default_rng(seed).uniform(1, 100, 8)
    cells = {f"number {place}": str(number) for place, number in enumerate(numbers)}
    return json.dumps(cells | {"colour": "red", "breed": "tabby"}).encode()


MEDIA = {  # by modality
    "image": by_id(*map(_drawing, range(4))),
    "text": by_id(*(text.encode() for text in TEXTS)),
    "audio": by_id(*map(_voice, range(3))),
    "tabular": by_id(*map(_row, range(6))),
}


def corrupted(
    corruption: Corruption, severity: int, assets: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Return corrupted assets by id, by default those of `MEDIA`, without those that are lost."""
    assets = MEDIA[corruption.modality] if assets is None else assets
    changed = {asset: corruption(severity, asset, content) for asset, content in assets.items()}
    return {asset: content for asset, content in changed.items() if content is not None}


def assert_distance_grows(
    corruption: Corruption, distance: Callable[[bytes, bytes], float]
) -> None:
    """Assert that higher severities lead farther away from the clean media.

    Args:
        corruption: of any modality.
        distance: of a clean and a corrupted file.
    """
    clean = MEDIA[corruption.modality]
    means = [
        np.mean([distance(clean[a], c) for a, c in corrupted(corruption, severity).items()])
        for severity in SEVERITIES
    ]
    assert means[0] > 0
    for mild, severe in pairwise(means):
        assert severe > MIN_RATIO * mild, means
    assert means[-1] > 1.2 * means[0], means
