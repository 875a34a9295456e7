"""Every fusion in a model is right for every subset of modalities."""

from itertools import combinations, permutations

import pytest
import torch

from components.fusion.fusion import gather
from components.fusion.registry import FUSIONS
from components.fusion.settings import FUSION_SETTINGS, BottleneckSettings
from components.layers.features import Features
from components.model.multimodal import MultimodalModel
from tests.fusion.features import SIZE, SUBSETS, make_features, make_fusion, make_rows, mixed_rows
from tests.support.tiny_model import PRESENT, make_model

EVERY_SUBSET = pytest.mark.parametrize("subset", SUBSETS, ids="+".join)


@pytest.fixture(scope="module", params=FUSIONS)
def model(request) -> MultimodalModel:
    return make_model(seed=1, fusion=request.param)


def logits(model, features, rows) -> torch.Tensor:
    """Return the logits of all tasks side by side."""
    return torch.cat(list(model(features, rows).values()), 1)


def test_every_fusion_has_settings_of_its_name():
    assert {name: settings().kind for name, settings in FUSION_SETTINGS.items()} == {
        name: name for name in FUSIONS
    }


COUNTS = {  # tokens of a subset; None: those of the modalities themselves
    "attention": lambda subset: len(subset) + len(list(permutations(subset, 2))),
    "bilinear": lambda subset: len(subset) + len(list(combinations(subset, 2))),
    "bottleneck": lambda _: BottleneckSettings().bottleneck_tokens,
    "concat": None,
    "gated": lambda _: 1,
    "late": lambda _: 1,  # in each of as many rows as there are modalities
    "tensor": lambda _: 1,
}


@EVERY_SUBSET
@pytest.mark.parametrize("name", FUSIONS)
def test_token_is_present_if_its_modalities_are(name, subset):
    features, rows = make_features(0), make_rows(subset)
    fused = make_fusion(name)(features, rows)
    size = SIZE * (len(subset) if name == "late" else 1)
    assert fused.tokens.shape[:2] == fused.mask.shape == (size, fused.mask.shape[1])
    if COUNTS[name] is None:
        expected = sum(features[m].mask.sum(1)[rows[m]] for m in subset)
    else:
        expected = torch.full((size,), COUNTS[name](subset))
    assert fused.mask.sum(1).equal(expected)


@EVERY_SUBSET
def test_missing_modality_changes_no_bit(model, subset):
    features, other = make_features(0), make_features(1, scale=100.0)
    rows = make_rows(subset)
    expected = logits(model, features, rows)
    changed = {m: features[m] if m in subset else other[m] for m in PRESENT}
    assert logits(model, changed, rows).equal(expected)


@EVERY_SUBSET
def test_modality_left_out_is_as_missing(model, subset):
    features, rows = make_features(0), make_rows(subset)
    given = {m: features[m] for m in subset}
    torch.testing.assert_close(logits(model, given, rows), logits(model, features, rows))


@EVERY_SUBSET
def test_each_present_modality_matters(model, subset):
    features, other, rows = make_features(0), make_features(1), make_rows(subset)
    expected = logits(model, features, rows)
    for m in subset:
        changed = logits(model, features | {m: other[m]}, rows)
        assert ((changed - expected).abs().max(1).values > 1e-4).all(), m


def test_padding_changes_no_bit(model):
    features, rows = make_features(0), mixed_rows()
    noisy = {
        m: Features(torch.where(f.mask[..., None], f.tokens, 50.0), f.mask, f.pooled)
        for m, f in features.items()
    }
    assert logits(model, noisy, rows).equal(logits(model, features, rows))


def test_batched_equals_alone(model):
    features, rows = make_features(0), mixed_rows()
    together = logits(model, features, rows)
    for n in range(len(SUBSETS)):
        alone = logits(model, features, {m: r[n : n + 1] for m, r in rows.items()})
        torch.testing.assert_close(alone[0], together[n], atol=1e-5, rtol=1e-5)


def test_shared_asset_equals_copies(model):
    features = make_features(0)
    shared = {m: torch.tensor([1, 1, 2]) for m in PRESENT}
    copies = {m: features[m][torch.tensor([1, 1, 2])] for m in PRESENT}
    own = {m: torch.arange(3) for m in PRESENT}
    torch.testing.assert_close(logits(model, features, shared), logits(model, copies, own))


def test_gather_gives_each_sample_its_row():
    values = torch.arange(6.0).reshape(3, 2)
    assert gather(values, torch.tensor([2, 0, 2, -1])).tolist() == [[4, 5], [0, 1], [4, 5], [0, 1]]
