"""The convolutional encoder of images: tokens and pooling."""

import torch

from components.features.settings import settings_for
from components.modalities.image.encoders import build
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(settings_for("image"))
COUNT = 5


def test_token_per_16_pixels_and_pooled_maximum():
    torch.manual_seed(0)
    encoder = build(SETTINGS.preprocess.image, SETTINGS.features.image, None).eval()
    features = encoder(**make_inputs(COUNT)["image"])
    places = (SETTINGS.preprocess.image.size // 16) ** 2
    assert features.tokens.shape[1] == places == 4
    assert features.mask.all()
    torch.testing.assert_close(features.pooled, features.tokens.amax(1))
