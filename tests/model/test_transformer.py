"""Attention sees what it may see, and nothing else."""

import math

import pytest
import torch

from components.model.base.transformer import Attention, Places, Transformer

B, T, D, HEADS = 3, 6, 8, 2


@pytest.fixture(params=[False, True], ids=["bidirectional", "causal"])
def transformer(request):
    torch.manual_seed(0)
    return Transformer(D, layers=2, heads=HEADS, dropout=0.1, causal=request.param).eval()


def test_attention_is_equation_1():
    torch.manual_seed(0)
    attention = Attention(D, HEADS, 0.0)
    x, context = torch.randn(1, T, D), torch.randn(1, 4, D)
    q = attention.query(x)[0]
    k, v = attention.key_value(context)[0].chunk(2, dim=1)
    size = D // HEADS
    heads = []
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        heads.append(scores.softmax(1) @ v[:, part])
    expected = attention.out(torch.cat(heads, 1))
    torch.testing.assert_close(attention(x, context, None)[0], expected)


def random_presence() -> torch.Tensor:
    present = torch.rand(B, T) < 0.6
    present[:, -1] = True
    return present


def test_packed_tokens_find_their_places_again():
    x, present = torch.randn(B, T, D), random_presence()
    places = Places.of(present)
    packed = places.pack(x)
    assert packed.equal(x[present])
    assert places.spread(packed).equal(x * present[..., None])
    assert packed[places.last()].equal(x[:, -1])


def test_each_sample_is_as_if_its_tokens_were_all_there_is(transformer):
    x, present = torch.randn(B, T, D), random_presence()
    whole = transformer(x, present)
    assert not whole[~present].any()
    for row in range(B):
        alone = x[row, present[row]][None]
        expected = transformer(alone, torch.ones(alone.shape[:2], dtype=torch.bool))
        torch.testing.assert_close(whole[row, present[row]], expected[0])


def test_the_last_token_alone_is_the_last_of_all(transformer):
    x, present = torch.randn(B, T, D), random_presence()
    last = transformer(x, present, last=True)
    torch.testing.assert_close(last, transformer(x, present)[:, -1:])


def test_missing_tokens_have_no_influence(transformer):
    x, present = torch.randn(B, T, D), torch.rand(B, T) < 0.6
    present[:, 0] = True
    changed = torch.where(present[..., None], x, 100.0)
    one, other = transformer(x, present), transformer(changed, present)
    assert one[present].equal(other[present])
    assert one.isfinite().all() and other.isfinite().all()


def test_a_row_without_any_token_is_finite(transformer):
    present = torch.zeros(B, T, dtype=torch.bool)
    present[0] = True
    x = torch.randn(B, T, D)
    assert transformer(x, present)[0].isfinite().all()


@pytest.mark.parametrize("place", range(T))
def test_the_future_has_no_influence_in_a_causal_transformer_only(transformer, place):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    changed = x.clone()
    changed[:, place:] = torch.randn(B, T - place, D)
    one, other = transformer(x, present), transformer(changed, present)
    assert one[:, :place].equal(other[:, :place]) == (transformer.causal or place == 0)
    assert not torch.isclose(one[:, place:], other[:, place:]).all(-1).any()


def test_the_past_has_influence(transformer):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    changed = x.clone()
    changed[:, 0] = torch.randn(B, D)
    assert not torch.allclose(transformer(x, present)[:, -1], transformer(changed, present)[:, -1])


def test_dropout_is_for_training_only(transformer):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    assert transformer(x, present).equal(transformer(x, present))
    transformer.train()
    assert not transformer(x, present).equal(transformer(x, present))
