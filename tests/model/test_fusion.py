"""Every fusion is right for every subset of modalities."""

import math
from itertools import combinations, permutations
from typing import get_args

import pytest
import torch
from components.modalities.registry import MODALITIES

from components.data.batch import Samples
from components.fusion import FUSIONS
from components.fusion.output import pick
from components.layers.features import Features
from components.model.settings import Fusion
from components.tasks.classification.head import Classification
from components.tasks.generation.head import Generation
from components.tasks.regression.head import Regression
from tests.model import written_out
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


def make_fusion(name: str, **changes) -> torch.nn.Module:
    """A fusion in evaluation mode, all its weights random."""
    torch.manual_seed(0)
    built = FUSIONS[name](8, small_settings(changes).model)
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


COUNTS = {  # of a subset's tokens; None: those of the modalities themselves
    "attention": lambda subset: len(subset) + len(list(permutations(subset, 2))),
    "bilinear": lambda subset: len(subset) + len(list(combinations(subset, 2))),
    "bottleneck": lambda _: small_settings().model.bottlenecks,
    "concat": None,
    "gated": lambda _: 1,
    "late": lambda _: 1,  # in each of as many rows as there are modalities
    "tensor": lambda _: 1,
}


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
@pytest.mark.parametrize("name", FUSIONS)
def test_a_token_is_there_only_if_its_modalities_are(name, subset):
    features, rows = make_features(0), make_rows(subset)
    fused = make_fusion(name)(features, rows)
    size = SIZE * (len(subset) if name == "late" else 1)
    assert fused.tokens.shape[:2] == fused.mask.shape == (size, fused.mask.shape[1])
    if COUNTS[name] is None:
        expected = sum(features[m].mask.sum(1)[rows[m]] for m in subset)
    else:
        expected = torch.full((size,), COUNTS[name](subset))
    assert fused.mask.sum(1).equal(expected)


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
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def dot(weights: list[float], values: list[float]) -> float:
    return sum(w * v for w, v in zip(weights, values, strict=True))


def affine(layer: torch.nn.Linear, values: list[float]) -> list[float]:
    """W v + b, a number at a time."""
    bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    rows = zip(layer.weight.tolist(), bias, strict=True)
    return [dot(row, values) + constant for row, constant in rows]


def pooled_of(features, rows, n: int) -> dict[str, list[float]]:
    """The pooled features of the modalities that sample `n` has."""
    return {m: features[m].pooled[rows[m][n]].tolist() for m in MODALITIES if rows[m][n] >= 0}


def test_bilinear_pooling_is_its_equation():
    """Pᵀ(tanh(Uᵀx) ∘ tanh(Vᵀy)) + b, equation 9 of Kim et al. 2017, an element at a time."""
    fusion, features, rows = make_fusion("bilinear"), make_features(0), make_rows()
    tokens = fusion(features, rows).tokens.tolist()
    for n in range(SIZE):
        pooled = pooled_of(features, rows, n)
        for place, (a, b) in enumerate(combinations(MODALITIES, 2), start=len(MODALITIES)):
            x = affine(fusion.left[f"{a}_{b}"], pooled[a])
            y = affine(fusion.right[f"{a}_{b}"], pooled[b])
            joint = [math.tanh(u) * math.tanh(v) for u, v in zip(x, y, strict=True)]
            expected = affine(fusion.out[f"{a}_{b}"], joint)
            assert tokens[n][place] == pytest.approx(expected, abs=1e-5)


def test_gated_units_are_their_equation():
    """Σ z_m ∘ tanh(W_m x_m), the gates a softmax over the modalities that are there."""
    fusion, features, rows = make_fusion("gated"), make_features(0), mixed_rows()
    tokens = fusion(features, rows).tokens.tolist()
    width = small_settings().model.width
    for n in range(len(SUBSETS)):
        pooled = pooled_of(features, rows, n)
        asked = {m: affine(fusion.gates[m], x) for m, x in pooled.items()}
        values = {m: affine(fusion.values[m], x) for m, x in pooled.items()}
        for d in range(width):
            open_by = {}
            for place, m in enumerate(MODALITIES):
                if m in pooled:
                    scores = (asked[other][place * width + d] for other in pooled)
                    open_by[m] = math.exp(sum(scores) + fusion.gate[place, d].item())
            total = sum(open_by.values())
            parts = (open_by[m] / total * math.tanh(values[m][d]) for m in pooled)
            assert tokens[n][0][d] == pytest.approx(sum(parts), abs=1e-5)


def test_two_modalities_have_one_gate_as_in_the_paper():
    """h = z ∘ h_v + (1 − z) ∘ h_t with z = σ(W_z [x_v, x_t]): equations 1 to 4 of Arevalo et al."""
    fusion, features, rows = make_fusion("gated"), make_features(0), make_rows(("image", "text"))
    width = small_settings().model.width
    x, y = (features[m].pooled[rows[m]] for m in ("image", "text"))
    asked = fusion.gates["image"](x) + fusion.gates["text"](y) + fusion.gate.flatten()
    z = (asked[:, :width] - asked[:, width : 2 * width]).sigmoid()
    image, text = fusion.values["image"](x).tanh(), fusion.values["text"](y).tanh()
    expected = z * image + (1 - z) * text
    torch.testing.assert_close(fusion(features, rows).tokens[:, 0], expected)


def test_the_low_rank_tensor_is_the_whole_one_times_the_outer_product():
    """W ([x_1; 1] ⊗ [x_2; 1] ⊗ [x_3; 1]) + b with W = Σ_r p_r ⊗ u_1r ⊗ u_2r ⊗ u_3r made whole."""
    fusion, features, rows = make_fusion("tensor"), make_features(0), mixed_rows()
    whole = torch.zeros(small_settings().model.width, 9, 9, 9)
    factors = {m: torch.cat([f.weight, f.bias[:, None]], 1) for m, f in fusion.factors.items()}
    for r in range(small_settings().model.rank):
        vectors = fusion.out.weight[:, r], *(factors[m][r] for m in MODALITIES)
        whole += torch.einsum("d,i,j,k->dijk", *vectors)
    tokens = fusion(features, rows).tokens
    for n in range(len(SUBSETS)):
        pooled = pooled_of(features, rows, n)
        x, y, z = (torch.tensor([*pooled.get(m, [0.0] * 8), 1.0]) for m in MODALITIES)
        outer = x[:, None, None] * y[None, :, None] * z
        expected = (whole * outer).sum((1, 2, 3)) + fusion.out.bias
        torch.testing.assert_close(tokens[n, 0], expected, atol=1e-5, rtol=1e-5)


def test_every_subset_has_its_own_term_in_the_tensor():
    """What three modalities give is no sum of what fewer give: there is a product of three."""
    fusion, features = make_fusion("tensor"), make_features(0)
    said = {subset: fusion(features, make_rows(subset)).tokens for subset in SUBSETS}
    terms = {}
    for subset in SUBSETS:
        inner = [terms[s] for s in SUBSETS if set(s) < set(subset)]
        terms[subset] = said[subset] - fusion(features, make_rows(())).tokens - sum(inner)
    assert all((term.abs() > 1e-4).any(-1).all() for term in terms.values())


def marked(fusion, m: str, features: Features) -> torch.Tensor:
    """The tokens that one asset has, each marked with its modality and position, [T, D]."""
    layer = fusion.tokens
    width = len(layer.modality[m])
    tokens = []
    for place, token in enumerate(features.tokens[features.mask].tolist()):
        mapped, wave = affine(layer.maps[m], token), []
        for d in range(width):
            angle = place / 10_000 ** ((d - d % 2) / width)
            wave.append(math.cos(angle) if d % 2 else math.sin(angle))
        gain, embedding = layer.position[m].item(), layer.modality[m].tolist()
        tokens.append([a + e + gain * w for a, e, w in zip(mapped, embedding, wave, strict=True)])
    return torch.tensor(tokens)


def test_concatenation_is_its_equation():
    """x W + e + g p, one modality after the other, with nothing in between."""
    fusion, features, rows = make_fusion("concat"), make_features(0), mixed_rows()
    fused = fusion(features, rows)
    for n in range(len(SUBSETS)):
        parts = [marked(fusion, m, features[m][rows[m][n]]) for m in SUBSETS[n]]
        found = fused.tokens[n][fused.mask[n]]
        torch.testing.assert_close(found, torch.cat(parts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_bottlenecks_are_their_equation(norm):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m, over the modalities present."""
    fusion = make_fusion("bottleneck", **{"model.norm": norm})
    features, rows = make_features(0), mixed_rows()
    tokens = fusion(features, rows).tokens
    for n, subset in enumerate(SUBSETS):
        own = {m: marked(fusion, m, features[m][rows[m][n]]) for m in subset}
        shared = fusion.bottlenecks
        for layer in (fusion.first, fusion.second):
            said = []
            for m in subset:
                both = written_out.block(layer[m], torch.cat([own[m], shared]))
                own[m], answer = both[: len(own[m])], both[len(own[m]) :]
                said.append(answer)
            shared = sum(said) / len(said)
        torch.testing.assert_close(tokens[n], shared, atol=1e-4, rtol=1e-4)


def test_late_fusion_is_the_average_of_what_each_modality_says_by_itself():
    model = make_model(fusion="late", every=True)
    features, rows = make_features(0), mixed_rows()
    together = model(features, rows)
    for n, subset in enumerate(SUBSETS):
        alone = [model({m: features[m]}, only(m, rows[m][n])) for m in subset]
        for task, found in together.items():
            able = [m for m in subset if m in (model.config.tasks[task].decided_by or MODALITIES)]
            said = [alone[subset.index(m)][task][0] for m in able or subset]
            match model.kinds[task]:
                case Generation():
                    continue  # texts have no average: see test_generation
                case Classification():
                    expected = torch.stack([x.softmax(0) for x in said]).mean(0).log()
                case Regression():
                    expected = torch.stack(said).mean(0)
                case _:
                    expected = torch.stack([x.sigmoid() for x in said]).mean(0).logit()
            torch.testing.assert_close(found[n], expected, atol=1e-5, rtol=1e-5)


def only(modality: str, row: torch.Tensor) -> dict[str, torch.Tensor]:
    """A sample that has one modality."""
    return {m: row[None] if m == modality else torch.tensor([-1]) for m in MODALITIES}


def test_cross_attention_is_the_mean_of_what_the_queries_found():
    fusion, features, rows = make_fusion("attention"), make_features(0), make_rows()
    fused = fusion(features, rows)
    for place, (a, b) in enumerate(fusion.PAIRS, start=len(MODALITIES)):
        for n in range(SIZE):
            q = marked(fusion, a, features[a][rows[a][n]])  # only what is there
            k = marked(fusion, b, features[b][rows[b][n]])
            found = written_out.attention(fusion.attention[f"{a}_{b}"], q, k)
            expected = (q + found).mean(0)
            torch.testing.assert_close(fused.tokens[n, place], expected, atol=1e-5, rtol=1e-5)


def test_pick_gives_each_sample_its_own_row():
    values = torch.arange(6.0).reshape(3, 2)
    assert pick(values, torch.tensor([2, 0, 2, -1])).tolist() == [[4, 5], [0, 1], [4, 5], [0, 1]]
