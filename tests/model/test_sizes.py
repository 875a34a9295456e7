"""The sizes that have names."""

from itertools import pairwise

import pytest
import torch

from components.config.settings import Settings
from components.model.multimodal import ModelConfig, MultimodalModel
from components.model.settings import SIZES, ModelSettings
from tests.model.worlds import VOCABULARY
from tests.shrunk import change, shipped


def weights(**changes) -> int:
    """Weights of the model that params.yaml describes, but for its encoders'."""
    params = {f"model.{name}": value for name, value in changes.items()}
    settings = Settings.model_validate(change(shipped(), params))
    config = ModelConfig.of(settings, VOCABULARY, ("image", "text", "audio"))
    with torch.device("meta"):  # shapes without memory
        model = MultimodalModel(config)
    return sum(p.numel() for n, p in model.named_parameters() if not n.startswith("encoders."))


def test_base_has_about_100_million_weights():
    assert weights(size="base") == pytest.approx(100e6, rel=0.02)


def test_each_size_has_about_ten_times_the_weights_of_the_one_before():
    counts = [weights(size=name) for name in SIZES]
    ratios = [large / small for small, large in pairwise(counts)]
    assert all(5 < ratio < 15 for ratio in ratios), ratios


def test_the_shipped_size_is_nano():
    model = Settings.model_validate(shipped()).model
    assert (model.width, model.layers, model.heads) == (64, 2, 4)
    assert model.model_dump()["size"] == shipped()["model"]["size"] == "nano"


@pytest.mark.parametrize("name", SIZES)
def test_a_name_and_its_numbers_are_the_same(name):
    params = shipped()["model"]
    named, numbers = (
        ModelSettings.model_validate(params | {"size": size}) for size in (name, SIZES[name])
    )
    assert named == numbers and named.model_dump() == numbers.model_dump()
