"""Every fusion is right for every subset of modalities."""

import math
from itertools import combinations
from typing import get_args

import pytest
import torch

from components.config.section import MODALITIES
from components.config.settings import Fusion
from components.model.base.batch import Samples
from components.model.base.features import Features
from components.model.fusion import FUSIONS
from components.model.fusion.fused import pick
from tests.model.worlds import make_inputs, make_model
from tests.shrunk import small_settings

ASSETS, SIZE = 4, 12
SUBSETS = [c for size in (1, 2, 3) for c in combinations(MODALITIES, size)]


def make_features(seed: int, scale: float = 1.0) -> dict[str, Features]:
    """Random features of `ASSETS` assets a modality, in the aligned width; lengths differ."""
    g = torch.Generator().manual_seed(seed)
    features = {}
    for m, size in zip(MODALITIES, (4, 6, 5), strict=True):
        tokens = scale * torch.randn(ASSETS, size, 8, generator=g)
        mask = torch.arange(size) < torch.arange(1, ASSETS + 1)[:, None]
        features[m] = Features(tokens, mask, scale * torch.randn(ASSETS, 8, generator=g))
    return features


def make_rows(subset=MODALITIES, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    rows = {m: torch.randint(0, ASSETS, (SIZE,), generator=g) for m in MODALITIES}
    return {m: r if m in subset else torch.full_like(r, -1) for m, r in rows.items()}


def mixed_rows() -> dict[str, torch.Tensor]:
    """Every subset of modalities in one batch."""
    wanted = torch.tensor([[m in subset for m in MODALITIES] for subset in SUBSETS])
    samples = Samples({m: r[: len(SUBSETS)] for m, r in make_rows().items()}, {})
    return dict(samples.keep(wanted).rows)


@pytest.fixture(params=sorted(FUSIONS))
def fusion(request):
    torch.manual_seed(0)
    built = FUSIONS[request.param](8, small_settings().model)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built.eval()


@pytest.fixture(params=sorted(FUSIONS))
def model(request):
    return make_model(fusion=request.param)


def logits(model, features, rows) -> torch.Tensor:
    """All tasks' logits side by side."""
    return torch.cat(list(model(features, rows).values()), 1)


def test_every_name_in_the_settings_is_a_fusion():
    assert set(get_args(Fusion)) == set(FUSIONS)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_a_token_is_there_only_if_its_modalities_are(fusion, subset):
    features = make_features(0)
    fused = fusion(features, make_rows(subset))
    assert fused.tokens.shape[:2] == fused.mask.shape == (SIZE, fused.mask.shape[1])
    if type(fusion).__name__ == "ConcatFusion":
        rows = make_rows(subset)
        count = sum(features[m].mask.sum(1)[rows[m]] for m in subset)
    else:
        pairs = (2 if type(fusion).__name__ == "AttentionFusion" else 1) * len(
            list(combinations(subset, 2))
        )
        count = torch.full((SIZE,), len(subset) + pairs)
    assert fused.mask.sum(1).equal(count)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_the_content_of_a_missing_modality_changes_no_bit(model, subset):
    features, other = make_features(0), make_features(1, scale=100.0)
    rows = make_rows(subset)
    expected = logits(model, features, rows)
    changed = {m: features[m] if m in subset else other[m] for m in MODALITIES}
    assert logits(model, changed, rows).equal(expected)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_a_modality_that_is_left_out_is_as_one_that_is_missing(model, subset):
    features, rows = make_features(0), make_rows(subset)
    given = {m: features[m] for m in subset}
    torch.testing.assert_close(logits(model, given, rows), logits(model, features, rows))


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_the_content_of_each_modality_that_is_there_matters(model, subset):
    features, other, rows = make_features(0), make_features(1), make_rows(subset)
    expected = logits(model, features, rows)
    for m in subset:
        changed = logits(model, features | {m: other[m]}, rows)
        assert ((changed - expected).abs().max(1).values > 1e-4).all(), m


def test_padding_tokens_change_no_bit(model):
    features, rows = make_features(0), mixed_rows()
    noisy = {
        m: Features(torch.where(f.mask[..., None], f.tokens, 50.0), f.mask, f.pooled)
        for m, f in features.items()
    }
    assert logits(model, noisy, rows).equal(logits(model, features, rows))


def test_a_batch_answers_as_its_samples_do_one_by_one(model):
    features, rows = make_features(0), mixed_rows()
    together = logits(model, features, rows)
    for n in range(len(SUBSETS)):
        alone = logits(model, features, {m: r[n : n + 1] for m, r in rows.items()})
        torch.testing.assert_close(alone[0], together[n], atol=1e-5, rtol=1e-5)


def test_two_samples_that_share_an_asset_get_what_two_copies_would(model):
    features = make_features(0)
    shared = {m: torch.tensor([1, 1, 2]) for m in MODALITIES}
    copies = {m: features[m][torch.tensor([1, 1, 2])] for m in MODALITIES}
    own = {m: torch.arange(3) for m in MODALITIES}
    torch.testing.assert_close(logits(model, features, shared), logits(model, copies, own))


def test_raw_inputs_go_all_the_way_through(model):
    features = model.encode(make_inputs(ASSETS))
    answers = model(features, make_rows())
    assert {task: tuple(a.shape) for task, a in answers.items()} == {
        "answer": (SIZE, 3),
        "shape": (SIZE, 2),
        "question_type": (SIZE, 2),
    }
    assert all(a.isfinite().all() for a in answers.values())


def test_gradients_reach_every_weight(model):
    """A weight without gradient learns nothing: a wire that is not connected."""
    model.train()
    answers = model(model.encode(make_inputs(ASSETS)), mixed_rows())
    sum((a**2).sum() for a in answers.values()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    unused = ["projections.{m}.tokens", "projections.{m}.pooled"]  # a fusion may read one of them
    excused = tuple(name.format(m=m) for m in MODALITIES for name in unused)
    assert [name for name in idle if not name.startswith(excused)] == []


def test_bilinear_pooling_is_its_equation():
    """Pᵀ(tanh(Uᵀx) ∘ tanh(Vᵀy)) + b, equation 9 of Kim et al. 2017, an element at a time."""
    torch.manual_seed(0)
    options = small_settings().model
    fusion = FUSIONS["bilinear"](8, options).eval()
    features, rows = make_features(0), make_rows()
    tokens = fusion(features, rows).tokens.tolist()
    pairs = list(combinations(MODALITIES, 2))
    for n in range(SIZE):
        for place, (a, b) in enumerate(pairs, start=len(MODALITIES)):
            x = features[a].pooled[rows[a][n]].tolist()
            y = features[b].pooled[rows[b][n]].tolist()
            u = fusion.left[f"{a}_{b}"].weight.tolist()  # [R, E]
            v = fusion.right[f"{a}_{b}"].weight.tolist()
            p, bias = fusion.out[f"{a}_{b}"].weight.tolist(), fusion.out[f"{a}_{b}"].bias.tolist()
            joint = [
                math.tanh(sum(w * xi for w, xi in zip(u[r], x, strict=True)))
                * math.tanh(sum(w * yi for w, yi in zip(v[r], y, strict=True)))
                for r in range(options.rank)
            ]
            for d in range(options.width):
                expected = sum(w * j for w, j in zip(p[d], joint, strict=True)) + bias[d]
                assert tokens[n][place][d] == pytest.approx(expected, abs=1e-5)


def test_cross_attention_is_the_mean_of_what_the_queries_found():
    torch.manual_seed(0)
    fusion = FUSIONS["attention"](8, small_settings().model).eval()
    features, rows = make_features(0), make_rows()
    fused = fusion(features, rows)
    for place, (a, b) in enumerate(fusion.PAIRS, start=len(MODALITIES)):
        for n in range(SIZE):
            queries = features[a][rows[a][n]]
            keys = features[b][rows[b][n]]
            q = fusion.maps[a](queries.tokens[queries.mask])[None]  # only what is there
            k = fusion.maps[b](keys.tokens[keys.mask])[None]
            expected = (q + fusion.attention[f"{a}_{b}"](q, k, None)).mean(1)[0]
            torch.testing.assert_close(fused.tokens[n, place], expected, atol=1e-5, rtol=1e-5)


def test_pick_gives_each_sample_its_own_row():
    values = torch.arange(6.0).reshape(3, 2)
    assert pick(values, torch.tensor([2, 0, 2, -1])).tolist() == [[4, 5], [0, 1], [4, 5], [0, 1]]
