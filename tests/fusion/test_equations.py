"""Each fusion against its equation, computed for one sample at a time."""

import math
from itertools import combinations, permutations

import pytest
import torch

from components.layers.features import Features
from tests.fusion.features import (
    SIZE,
    SUBSETS,
    WIDTH,
    make_features,
    make_fusion,
    make_rows,
    mixed_rows,
)
from tests.support import equations
from tests.support.tiny_model import FUSION_OPTIONS, PRESENT


def dot(weights: list[float], values: list[float]) -> float:
    return sum(w * v for w, v in zip(weights, values, strict=True))


def affine(layer: torch.nn.Linear, values: list[float]) -> list[float]:
    """Return W v + b, one number at a time."""
    bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    rows = zip(layer.weight.tolist(), bias, strict=True)
    return [dot(row, values) + constant for row, constant in rows]


def pooled_of(features, rows, n: int) -> dict[str, list[float]]:
    """Return the pooled features of the modalities that sample `n` has."""
    return {m: features[m].pooled[rows[m][n]].tolist() for m in PRESENT if rows[m][n] >= 0}


def test_bilinear_pooling():
    """Pᵀ(tanh(Uᵀx) ∘ tanh(Vᵀy)) + b, equation 9 of Kim et al. 2017, one element at a time."""
    fusion, features, rows = make_fusion("bilinear"), make_features(0), make_rows()
    tokens = fusion(features, rows).tokens.tolist()
    for n in range(SIZE):
        pooled = pooled_of(features, rows, n)
        for place, (a, b) in enumerate(combinations(PRESENT, 2), start=len(PRESENT)):
            x = affine(fusion.left[f"{a}_{b}"], pooled[a])
            y = affine(fusion.right[f"{a}_{b}"], pooled[b])
            joint = [math.tanh(u) * math.tanh(v) for u, v in zip(x, y, strict=True)]
            expected = affine(fusion.out[f"{a}_{b}"], joint)
            assert tokens[n][place] == pytest.approx(expected, abs=1e-5)


def test_gated_units():
    """Σ z_m ∘ tanh(W_m x_m), the gates a softmax over the modalities present."""
    fusion, features, rows = make_fusion("gated"), make_features(0), mixed_rows()
    tokens = fusion(features, rows).tokens.tolist()
    for n in range(len(SUBSETS)):
        pooled = pooled_of(features, rows, n)
        scores = {m: affine(fusion.gates[m], x) for m, x in pooled.items()}
        values = {m: affine(fusion.values[m], x) for m, x in pooled.items()}
        for d in range(WIDTH):
            gates = {}
            for place, m in enumerate(PRESENT):
                if m in pooled:
                    terms = (scores[other][place * WIDTH + d] for other in pooled)
                    gates[m] = math.exp(sum(terms) + fusion.gate[place, d].item())
            total = sum(gates.values())
            parts = (gates[m] / total * math.tanh(values[m][d]) for m in pooled)
            assert tokens[n][0][d] == pytest.approx(sum(parts), abs=1e-5)


def test_two_modalities_have_one_gate():
    """h = z ∘ h_v + (1 − z) ∘ h_t with z = σ(W_z [x_v, x_t]): equations 1 to 4 of Arevalo et al."""
    fusion, features, rows = make_fusion("gated"), make_features(0), make_rows(("image", "text"))
    x, y = (features[m].pooled[rows[m]] for m in ("image", "text"))
    scores = fusion.gates["image"](x) + fusion.gates["text"](y) + fusion.gate.flatten()
    z = (scores[:, :WIDTH] - scores[:, WIDTH : 2 * WIDTH]).sigmoid()
    image, text = fusion.values["image"](x).tanh(), fusion.values["text"](y).tanh()
    expected = z * image + (1 - z) * text
    torch.testing.assert_close(fusion(features, rows).tokens[:, 0], expected)


def test_low_rank_tensor_equals_the_outer_product():
    """W ([x_1; 1] ⊗ [x_2; 1] ⊗ [x_3; 1]) + b with W = Σ_r p_r ⊗ u_1r ⊗ u_2r ⊗ u_3r made whole."""
    fusion, features, rows = make_fusion("tensor"), make_features(0), mixed_rows()
    whole = torch.zeros(WIDTH, *3 * [WIDTH + 1])
    factors = {m: torch.cat([f.weight, f.bias[:, None]], 1) for m, f in fusion.factors.items()}
    for r in range(FUSION_OPTIONS["tensor"]["rank"]):
        vectors = fusion.out.weight[:, r], *(factors[m][r] for m in PRESENT)
        whole += torch.einsum("d,i,j,k->dijk", *vectors)
    tokens = fusion(features, rows).tokens
    for n in range(len(SUBSETS)):
        pooled = pooled_of(features, rows, n)
        x, y, z = (torch.tensor([*pooled.get(m, [0.0] * WIDTH), 1.0]) for m in PRESENT)
        outer = x[:, None, None] * y[None, :, None] * z
        expected = (whole * outer).sum((1, 2, 3)) + fusion.out.bias
        torch.testing.assert_close(tokens[n, 0], expected, atol=1e-5, rtol=1e-5)


def test_tensor_has_a_term_per_subset():
    """The output of three modalities is not a sum of those of fewer: it has a product of three."""
    fusion, features = make_fusion("tensor"), make_features(0)
    outputs = {subset: fusion(features, make_rows(subset)).tokens for subset in SUBSETS}
    terms = {}
    for subset in SUBSETS:
        inner = [terms[s] for s in SUBSETS if set(s) < set(subset)]
        terms[subset] = outputs[subset] - fusion(features, make_rows(())).tokens - sum(inner)
    assert all((term.abs() > 1e-4).any(-1).all() for term in terms.values())


def embedded(fusion, m: str, features: Features) -> torch.Tensor:
    """Return the tokens of one asset with their modality and position, [T, D]."""
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


def test_concatenation():
    """x W + e + g p, one modality after the other, with nothing in between."""
    fusion, features, rows = make_fusion("concat"), make_features(0), mixed_rows()
    fused = fusion(features, rows)
    for n in range(len(SUBSETS)):
        parts = [embedded(fusion, m, features[m][rows[m][n]]) for m in SUBSETS[n]]
        found = fused.tokens[n][fused.mask[n]]
        torch.testing.assert_close(found, torch.cat(parts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_bottlenecks(norm):
    """[z_m; f_m] ← Layer_m([z_m; f]), then f ← mean of the f_m, over the modalities present."""
    fusion = make_fusion("bottleneck", norm)
    features, rows = make_features(0), mixed_rows()
    tokens = fusion(features, rows).tokens
    for n, subset in enumerate(SUBSETS):
        own = {m: embedded(fusion, m, features[m][rows[m][n]]) for m in subset}
        shared = fusion.bottlenecks
        for layer in (fusion.first, fusion.second):
            written = []
            for m in subset:
                both = equations.block(layer[m], torch.cat([own[m], shared]))
                own[m], bottleneck = both[: len(own[m])], both[len(own[m]) :]
                written.append(bottleneck)
            shared = sum(written) / len(written)
        torch.testing.assert_close(tokens[n], shared, atol=1e-4, rtol=1e-4)


def test_cross_attention_is_the_mean_over_the_queries():
    fusion, features, rows = make_fusion("attention"), make_features(0), make_rows()
    fused = fusion(features, rows)
    for place, (a, b) in enumerate(permutations(PRESENT, 2), start=len(PRESENT)):
        for n in range(SIZE):
            q = embedded(fusion, a, features[a][rows[a][n]])  # without padding
            k = embedded(fusion, b, features[b][rows[b][n]])
            attended = equations.attention(fusion.attention[f"{a}_{b}"], q, k)
            expected = (q + attended).mean(0)
            torch.testing.assert_close(fused.tokens[n, place], expected, atol=1e-5, rtol=1e-5)
