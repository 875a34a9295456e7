"""The Transformer for texts: tokens, padding and pooling."""

import pytest
import torch

from components.features.settings import settings_for
from components.layers.features import length_mask
from components.modalities.text.encoders import build
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(settings_for("text"))
INPUTS = make_inputs(5)["text"]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build(SETTINGS.preprocess.text, SETTINGS.features.text, None).eval()


def test_token_per_word_and_pooled_mean(encoder):
    features = encoder(**INPUTS)
    assert features.tokens.shape[1] == SETTINGS.preprocess.text.max_tokens
    assert features.mask.sum(1).equal(INPUTS["lengths"])
    for tokens, mask, pooled in zip(features.tokens, features.mask, features.pooled, strict=True):
        torch.testing.assert_close(pooled, tokens[mask].mean(0))


def test_padding_changes_no_bit(encoder):
    padding = ~length_mask(INPUTS["lengths"], INPUTS["tokens"].shape[1])
    changed = INPUTS | {"tokens": INPUTS["tokens"].masked_fill(padding, 7)}
    one, other = encoder(**INPUTS), encoder(**changed)
    assert one.pooled.equal(other.pooled)
    assert one.tokens[one.mask].equal(other.tokens[one.mask])


def test_order_of_words_matters(encoder):
    tokens = torch.tensor([[5, 6, 7] + [0] * 13, [7, 6, 5] + [0] * 13])
    pooled = encoder(tokens, torch.tensor([3, 3])).pooled
    assert not torch.allclose(pooled[0], pooled[1])
