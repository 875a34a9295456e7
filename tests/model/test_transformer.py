"""Attention sees what it may see, and nothing else."""

from itertools import product

import pytest
import torch
from torch import nn

from components.layers.transformer import Attention, Places, Transformer
from tests.model import written_out

B, T, D, HEADS = 3, 6, 8, 2


@pytest.fixture(params=list(product([False, True], ["pre", "post"])), ids=str)
def transformer(request):
    torch.manual_seed(0)
    causal, norm = request.param
    return Transformer(D, layers=2, heads=HEADS, dropout=0.1, causal=causal, norm=norm).eval()


def test_attention_is_equation_1():
    torch.manual_seed(0)
    attention = Attention(D, HEADS, 0.0)
    x, context = torch.randn(T, D), torch.randn(4, D)
    expected = written_out.attention(attention, x, context)
    torch.testing.assert_close(attention(x[None], context[None], None)[0], expected)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_transformer_is_what_its_equations_say(norm):
    torch.manual_seed(0)
    transformer = Transformer(D, layers=2, heads=HEADS, dropout=0.1, norm=norm).eval()
    randomise(transformer)
    x, present = torch.randn(B, T, D), random_presence()
    found = transformer(x, present)
    for row in range(B):
        expected = x[row, present[row]]
        for block in transformer.blocks:
            expected = written_out.block(block, expected)
        if norm == "pre":
            expected = written_out.layer_norm(transformer.norm, expected)
        torch.testing.assert_close(found[row, present[row]], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_is_torch_s_encoder_layer(norm):
    torch.manual_seed(0)
    transformer = Transformer(D, layers=1, heads=HEADS, dropout=0.0, norm=norm)
    randomise(transformer)
    transformer.norm = nn.Identity()
    theirs = nn.TransformerEncoderLayer(
        D, HEADS, 4 * D, 0.0, "gelu", batch_first=True, norm_first=norm == "pre"
    )
    (block,) = transformer.blocks
    query, key_value = block.attention.query, block.attention.key_value
    norm_2, linear_1, _, linear_2, _ = block.feed_forward
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([query.weight, key_value.weight]),
            "self_attn.in_proj_bias": torch.cat([query.bias, key_value.bias]),
            **of("self_attn.out_proj", block.attention.out),
            **of("norm1", block.attention_norm),
            **of("linear1", linear_1),
            **of("linear2", linear_2),
            **of("norm2", norm_2),
        }
    )
    x, present = torch.randn(B, T, D, requires_grad=True), random_presence()
    ours, other = transformer(x, present), theirs(x, src_key_padding_mask=~present)
    torch.testing.assert_close(ours[present], other[present], atol=1e-5, rtol=1e-5)
    weight = torch.randn(D)  # a plain sum says nothing of what was normalised
    (one,) = torch.autograd.grad((ours[present] @ weight).sum(), x)
    (two,) = torch.autograd.grad((other[present] @ weight).sum(), x)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def of(name: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """The weight and the bias of a module, by the names that they have in another one."""
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def randomise(module: nn.Module) -> None:
    """Gains and biases too, which are one and zero at first."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


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
    present[:, -3:] = True
    places = Places.of(present)
    assert places.pack(x)[places.last(3)].equal(x[:, -3:].flatten(0, 1))


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
