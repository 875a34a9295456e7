"""Corruptions of images.

Most are those of Hendrycks & Dietterich (2019), appendix B, with the levels of its code; lengths,
there in pixels of a shorter side of 224, are shares of the shorter side here.
"""

import io
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from PIL.Image import Resampling

from components.modalities.corruption import Alter, Corruption
from components.modalities.image.decoding import decode

SIDE = 224  # pixels, of the images that the levels were chosen for
GREY = (128, 128, 128)


def on_picture(alter: Callable[..., Image.Image]) -> Alter:
    """Files to files, from a function of Pillow images."""

    @wraps(alter)
    def on_file(content: bytes, level, rng: np.random.Generator) -> bytes:
        file = io.BytesIO()
        picture = alter(Image.fromarray(decode(content).pixels), level, rng)
        picture.save(file, "PNG", compress_level=1)
        return file.getvalue()

    return on_file


def on_pixels(alter: Callable[..., np.ndarray]) -> Alter:
    """Files to files, from a function of pixels, float64 [h, w, 3] from 0 to 1."""

    @on_picture
    @wraps(alter)
    def on_image(picture: Image.Image, level, rng: np.random.Generator) -> Image.Image:
        pixels = alter(np.asarray(picture) / 255, level, rng)
        return Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5))

    return on_image


@on_pixels
def gaussian_noise(pixels: np.ndarray, deviation: float, rng) -> np.ndarray:
    """x + σ·n, n normal: a sensor in the dark."""
    return pixels + rng.normal(size=pixels.shape) * deviation


@on_pixels
def shot_noise(pixels: np.ndarray, photons: float, rng) -> np.ndarray:
    """Poisson(c·x) / c: so few photons that each counts."""
    return rng.poisson(pixels * photons) / photons


@on_pixels
def impulse_noise(pixels: np.ndarray, share: float, rng) -> np.ndarray:
    """Salt and pepper: a share of the numbers is 0 or 1."""
    hit, salt = rng.random((2, *pixels.shape))
    return np.where(hit < share, np.round(salt), pixels)


@on_pixels
def brightness(pixels: np.ndarray, added: float, rng) -> np.ndarray:
    """V of HSV is raised, hue and saturation stay."""
    value = pixels.max(-1, keepdims=True)
    scaled = pixels * np.divide(np.minimum(value + added, 1), value, where=value > 0, out=value * 0)
    return np.where(value > 0, scaled, added)


def faded(enhancer: Callable[[Image.Image], Any]) -> Alter:
    """Nearer by a factor to black (Brightness), the mean grey (Contrast), greyscale (Color)."""
    return on_picture(lambda picture, factor, rng: enhancer(picture).enhance(factor))


@on_picture
def gaussian_blur(picture: Image.Image, deviation: float, rng) -> Image.Image:
    """Convolved with a Gaussian."""
    return picture.filter(ImageFilter.GaussianBlur(deviation / SIDE * min(picture.size)))


@on_picture
def motion_blur(picture: Image.Image, radius: float, rng) -> Image.Image:
    """The mean along a horizontal line: the camera was moving sideways."""
    return picture.filter(ImageFilter.BoxBlur((radius / SIDE * min(picture.size), 0)))


@on_picture
def jpeg(picture: Image.Image, quality: int, rng) -> Image.Image:
    """Compressed as JPEG of a quality."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


@on_picture
def pixelate(picture: Image.Image, factor: float, rng) -> Image.Image:
    """Shrunk, and enlarged again without smoothing."""
    small = [max(1, round(side * factor)) for side in picture.size]
    return picture.resize(small, Resampling.BOX).resize(picture.size, Resampling.NEAREST)


@on_picture
def occlusion(picture: Image.Image, share: float, rng) -> Image.Image:
    """A grey box over a share of the area, of the image's own shape, anywhere within it."""
    sides = [max(1, round(side * share**0.5)) for side in picture.size]
    left, top = (rng.random(2) * np.subtract(picture.size, sides)).astype(int).tolist()
    picture.paste(GREY, (left, top, left + sides[0], top + sides[1]))
    return picture


CORRUPTIONS = {
    "gaussian_noise": Corruption(
        "image", gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38), is_quick=True
    ),
    "shot_noise": Corruption("image", shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": Corruption("image", impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "brightness": Corruption("image", brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "darkness": Corruption("image", faded(ImageEnhance.Brightness), (0.8, 0.65, 0.5, 0.35, 0.2)),
    "contrast": Corruption(
        "image", faded(ImageEnhance.Contrast), (0.4, 0.3, 0.2, 0.1, 0.05), is_quick=True
    ),
    "colourless": Corruption("image", faded(ImageEnhance.Color), (0.6, 0.4, 0.2, 0.1, 0.0)),
    "gaussian_blur": Corruption("image", gaussian_blur, (1, 2, 3, 4, 6), is_quick=True),
    "motion_blur": Corruption("image", motion_blur, (4, 6, 9, 13, 18)),
    "jpeg": Corruption("image", jpeg, (25, 18, 15, 10, 7), is_quick=True),
    "pixelate": Corruption("image", pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "occlusion": Corruption("image", occlusion, (0.05, 0.1, 0.2, 0.3, 0.45), is_quick=True),
}
