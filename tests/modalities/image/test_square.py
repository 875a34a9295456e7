"""Images of any shape become squares: cut, with borders, or without their proportions."""

from typing import get_args

import numpy as np
import pytest
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from components.modalities.image.modality import Fit, ImageSettings
from components.modalities.image.plain_features import SIDE, describe
from components.modalities.image.processing import ImageProcessor
from components.modalities.image.square import GREY
from tests.support.media import encoded, picture

FITS: tuple[Fit, ...] = get_args(Fit)
EVERY = pytest.mark.parametrize("fit", FITS)
SHAPES = [(90, 32), (33, 32), (32, 33), (97, 64), (31, 200), (64, 21), (31, 31)]


def pixels(image: Image.Image, fit: Fit, size: int = SIDE) -> np.ndarray:
    """Return an image as the encoder sees it, [H, W, 3]."""
    return ImageProcessor(size, fit)([encoded(image)])["pixels"][0].transpose(1, 2, 0)


def halves(width: int, height: int) -> Image.Image:
    """Return an image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


@EVERY
@pytest.mark.parametrize("side", [SIDE, 2 * SIDE, SIDE // 2])
def test_square_is_the_same_however_it_fits(fit, side):
    image = picture(size=(side, side))
    assert np.array_equal(pixels(image, fit), pixels(image, "crop"))


def test_crop_shows_the_centre_in_its_proportions():
    found = pixels(halves(3 * SIDE, SIDE), "crop")
    assert np.array_equal(found, np.asarray(halves(SIDE, SIDE)))


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_is_the_part_that_fits_into_the_square(shape):
    """To the byte as the library cuts it out, for images whose surplus is odd too."""
    image = picture(size=shape)
    source = ImageData(*shape, PixelType.U8x3, np.asarray(image).tobytes())
    target = ImageData(SIDE, SIDE, PixelType.U8x3)
    fitting = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), fit_into_destination=True)
    Resizer().resize(source, target, fitting)
    assert pixels(image, "crop").tobytes() == bytes(target.get_buffer())


def test_pad_shows_all_of_it_between_grey_borders():
    found = pixels(halves(4 * SIDE, 2 * SIDE), "pad")
    border, middle = SIDE // 4, slice(SIDE // 2 - 1, SIDE // 2 + 1)  # where both colours meet
    shown, expected = found[border:-border], np.asarray(halves(SIDE, SIDE // 2))
    assert np.array_equal(np.delete(shown, middle, 1), np.delete(expected, middle, 1))
    assert (found[:border] == GREY).all() and (found[-border:] == GREY).all()
    turned = pixels(halves(4 * SIDE, 2 * SIDE).transpose(Image.Transpose.ROTATE_90), "pad")
    assert np.array_equal(np.rot90(found), turned)


def test_squash_shows_all_of_it_without_borders():
    found, expected = pixels(halves(4 * SIDE, SIDE), "squash"), np.asarray(halves(SIDE, SIDE))
    middle = slice(SIDE // 2 - 1, SIDE // 2 + 1)
    assert np.array_equal(np.delete(found, middle, 1), np.delete(expected, middle, 1))


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (5000, 1), (1, 5000), (1, SIDE), (SIDE, SIDE - 1)])
def test_any_shape_becomes_a_square(fit, shape):
    assert pixels(picture(size=shape), fit, 16).shape == (16, 16, 3)


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
def test_baselines_see_what_the_encoder_sees(fit, shape):
    smooth = picture(size=(4, 4)).resize(shape, Image.Resampling.BICUBIC)
    seen = describe(encoded(smooth), ImageSettings(fit=fit)).astype(int)
    difference = np.abs(seen - pixels(smooth, fit))
    assert difference.mean() < 6  # filters differ
    other = pixels(smooth, "squash" if fit == "crop" else "crop")
    assert shape[0] / shape[1] < 2 or np.abs(seen - other).mean() > 12
