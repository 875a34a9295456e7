"""Settings of the model, and its named sizes."""

from itertools import pairwise

import pytest
import torch

from components.fusion.settings import FUSION_SETTINGS
from components.model.config import model_config
from components.model.multimodal import MultimodalModel
from components.model.settings import SIZES, ModelSettings
from components.train.settings import TrainStageSettings
from tests.support.params import change, settings_problems, shipped
from tests.support.tiny_model import PRESENT, TASKS, VOCABULARY


def weights(size: str) -> int:
    """Return the number of weights of the shipped model in a size, without its encoders."""
    params = change(shipped(), {"model.size": size})
    settings = TrainStageSettings.model_validate(params)
    config = model_config(
        modalities=PRESENT,
        inputs=settings.preprocess,
        encoders=settings.features,
        embed_dim=params["align"]["embed_dim"],
        model=settings.model,
        tasks=TASKS,
        vocabulary=VOCABULARY,
        descriptions={},
    )
    with torch.device("meta"):  # shapes without memory
        model = MultimodalModel(config)
    return sum(p.numel() for n, p in model.named_parameters() if not n.startswith("encoders."))


def test_sizes_grow_tenfold_up_to_100_million_weights():
    counts = [weights(name) for name in SIZES]
    ratios = [large / small for small, large in pairwise(counts)]
    assert all(5 < ratio < 15 for ratio in ratios), ratios
    assert list(SIZES)[-1] == "base" and counts[-1] == pytest.approx(100e6, rel=0.02)


def test_default_size_is_nano():
    model = ModelSettings()
    shape = model.transformer
    assert (shape.width, shape.layers, shape.heads) == (64, 2, 4)
    assert model.model_dump()["size"] == "nano"


@pytest.mark.parametrize("name", SIZES)
def test_size_by_name_equals_size_by_numbers(name):
    params = shipped()["model"]
    named, numbers = (
        ModelSettings.model_validate(params | {"size": size}) for size in (name, SIZES[name])
    )
    assert named == numbers and named.model_dump() == numbers.model_dump()


@pytest.mark.parametrize("name", FUSION_SETTINGS)
def test_fusion_by_name_has_its_defaults(name):
    params = shipped()["model"]
    named, spelt = (
        ModelSettings.model_validate(params | {"fusion": fusion})
        for fusion in (name, {"kind": name})
    )
    assert named == spelt and named.fusion == FUSION_SETTINGS[name]()


SIZE = {"width": 64, "layers": 2, "heads": 4}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("fusion", "bilinar", ": found 'bilinar'. Did you mean 'bilinear'? Valid here: bilinear,"),
        ("fusion", {"kind": "bilinear", "rank": "high"}, ".rank: input should be a valid integer"),
        ("fusion", {"kind": "bilinear", "rnk": 1}, ".rnk: unknown key. Did you mean 'rank'? Valid"),
        ("fusion", {"kind": "concat", "rank": 1}, ".rank: unknown key. Valid here: kind"),
        ("fusion", {"rank": 1}, ".kind: the key is missing"),
        ("fusion", None, ": found None, expected bilinear, gated, tensor, concat, attention, bot"),
        ("norm", "past", ": found 'past'. Did you mean 'post'? Valid here: pre, post"),
        ("dropout", 1.0, ": input should be less than 1, found 1.0"),
        ("size", "bass", ": found 'bass', expected nano, micro, small, base, or a mapping with wi"),
        ("size", 64, ": found 64, expected nano, micro, small, base, or a mapping with width, lay"),
        ("size", {"width": 64, "layers": 2}, ".heads: the key is missing"),
        ("size", SIZE | {"heads": 3}, ": heads (3) must divide width (64)"),
        ("size", SIZE | {"width": 4}, ".width: input should be greater than or equal to 8, found"),
        ("size", SIZE | {"head": 4}, ".head: unknown key. Did you mean 'heads'? Valid here: width"),
    ],
    ids=str,
)
def test_wrong_value_is_named_with_its_key(key, value, expected):
    (line,) = settings_problems(TrainStageSettings, {f"model.{key}": value})
    assert line.startswith(f"model.{key}{expected}")
