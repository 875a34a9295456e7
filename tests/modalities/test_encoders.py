"""Encoders of every modality return features of one form, independent of batch neighbours."""

import pytest
import torch

from components.layers.features import Encoder, masked_mean
from components.modalities.registry import MODALITIES, encoders_of, modality
from components.train.settings import TrainStageSettings
from tests.support.params import small_settings
from tests.support.process import modules_loaded
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(TrainStageSettings)
COUNT = 5
INPUTS = make_inputs(COUNT)


def build(m: str, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return encoders_of(m).build(SETTINGS.preprocess[m], SETTINGS.features[m], None).eval()


@pytest.fixture(scope="module")
def encoders():
    return {m: build(m) for m in MODALITIES}


@pytest.mark.parametrize("m", MODALITIES)
def test_features_have_one_form(encoders, m):
    features, width = encoders[m](**INPUTS[m]), SETTINGS.features[m].width
    count, tokens, _ = features.tokens.shape
    assert encoders[m].width == width
    assert features.tokens.shape == (COUNT, tokens, width)
    assert features.mask.shape == (count, tokens)
    assert features.mask.dtype == torch.bool and features.mask.any(1).all()
    assert features.pooled.shape == (COUNT, width)


@pytest.mark.parametrize("m", MODALITIES)
def test_batched_equals_alone(encoders, m):
    together = encoders[m](**INPUTS[m])
    for n in range(COUNT):
        alone = encoders[m](**{name: value[n : n + 1] for name, value in INPUTS[m].items()})
        torch.testing.assert_close(alone.pooled[0], together.pooled[n], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("m", MODALITIES)
def test_different_assets_have_different_features(encoders, m):
    assert len(encoders[m](**INPUTS[m]).pooled.unique(dim=0)) == COUNT


@pytest.mark.parametrize("m", MODALITIES)
def test_same_seed_gives_same_weights(m):
    one, other = (build(m, seed=3).state_dict() for _ in range(2))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("m", MODALITIES)
def test_settings_name_encoders_that_are_built_here(m):
    assert tuple(encoders_of(m).BUILT_IN) == modality(m).encoder_names.built_in


def test_mean_over_nothing_is_zero():
    tokens = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    mean = masked_mean(tokens, mask)
    torch.testing.assert_close(mean[0], tokens[0, :2].mean(0))
    assert (mean[1] == 0).all()


def test_encoders_need_no_scikit_learn(tmp_path):
    """Else each stage that loads one would take almost a second longer to start."""
    loaded = modules_loaded(
        "from components.modalities.registry import MODALITIES, encoders_of",
        "list(map(encoders_of, MODALITIES))",
        cwd=tmp_path,
    )
    assert "torch" in loaded and "sklearn" not in loaded
