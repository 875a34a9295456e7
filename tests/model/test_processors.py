"""Images of every kind become tensors of one kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from components.model.processors.image import ImageProcessor
from tests.shrunk import encoded, picture, png, small_settings

SETTINGS = small_settings().preprocess


@pytest.fixture(scope="module")
def image():
    return ImageProcessor(SETTINGS.image)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
@pytest.mark.parametrize("size", [(32, 32), (200, 31), (7, 90), (1, 1)])
def test_an_image_of_any_mode_and_size_becomes_rgb_of_one_size(image, mode, size):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    pixels = image([encoded(picture(size=size, mode=mode), kind)])["pixels"]
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels.dtype == torch.uint8


def test_an_image_that_has_the_size_already_is_kept_as_it_is(image):
    source = picture(size=(32, 32))
    pixels = image([encoded(source)])["pixels"][0]
    assert (pixels.permute(1, 2, 0).numpy() == np.asarray(source)).all()


def test_grey_is_grey_in_every_channel(image):
    pixels = image([encoded(picture(size=(32, 32), mode="L"))])["pixels"][0]
    assert (pixels[0] == pixels[1]).all() and (pixels[1] == pixels[2]).all()


def test_16_bit_grey_keeps_its_shades(image):
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    pixels = image([encoded(Image.fromarray(ramp))])["pixels"][0, 0]
    assert (pixels.numpy() == ramp // 256).all()


def test_the_centre_of_a_wide_image_is_kept(image):
    wide = Image.new("RGB", (96, 32))
    wide.paste((255, 0, 0), (32, 0, 64, 32))
    pixels = image([encoded(wide)])["pixels"][0]
    assert (pixels[0] == 255).all() and (pixels[1:] == 0).all()


def test_images_in_one_batch_are_as_if_alone(image):
    contents = [png(0), png(1, size=(60, 33)), png(2, mode="L")]
    together = image(contents)["pixels"]
    for row, content in enumerate(contents):
        assert together[row].equal(image([content])["pixels"][0])
