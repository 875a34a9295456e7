"""Corrupted images are images of the same size, worse with each severity."""

import numpy as np
import pytest
from PIL import Image

from components.common.hashing import content_id
from components.modalities.corruption import SEVERITIES
from components.modalities.image.corruptions import CORRUPTIONS
from components.modalities.image.decoding import decode
from tests.support.corrupting import MEDIA, assert_distance_grows, corrupted
from tests.support.media import encoded

SMALLEST = [encoded(Image.new(mode, size)) for mode in "LP" for size in ((1, 1), (1, 9))]


def pixels(content: bytes) -> np.ndarray:
    return decode(content).pixels / 255


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_size_is_unchanged(name):
    for severity in SEVERITIES:
        for asset, content in corrupted(CORRUPTIONS[name], severity).items():
            assert pixels(content).shape == pixels(MEDIA["image"][asset]).shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name):
    def distance(before: bytes, after: bytes) -> float:
        return float(np.abs(pixels(before) - pixels(after)).mean())

    assert_distance_grows(CORRUPTIONS[name], distance)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_smallest_images_can_be_corrupted(name):
    for severity in SEVERITIES:
        for content in SMALLEST:
            changed = CORRUPTIONS[name](severity, content_id(content), content)
            assert pixels(changed).size > 0
