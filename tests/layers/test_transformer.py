"""Attention sees what it may see, and nothing else."""

from itertools import product

import pytest
import torch
from torch import nn

from components.layers.transformer import Attention, Transformer, Unpadding
from components.layers.transformer_shape import TransformerShape
from tests.support import equations

B, T, D, HEADS = 3, 6, 8, 2
NORMS = pytest.mark.parametrize("norm", ["pre", "post"])


def make(
    norm: str = "pre", layers: int = 2, dropout: float = 0.1, causal: bool = False
) -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerShape(D, layers, HEADS, dropout, norm), causal)


@pytest.fixture(params=list(product([False, True], ["pre", "post"])), ids=str)
def transformer(request) -> Transformer:
    causal, norm = request.param
    return make(norm, causal=causal).eval()


def test_attention_is_equation_1():
    torch.manual_seed(0)
    attention = Attention(D, HEADS, 0.0)
    x, context = torch.randn(T, D), torch.randn(4, D)
    expected = equations.attention(attention, x, context)
    torch.testing.assert_close(attention(x[None], context[None], None)[0], expected)


@NORMS
def test_transformer_equals_its_equations(norm):
    transformer = make(norm).eval()
    randomise(transformer)
    x, present = torch.randn(B, T, D), random_presence()
    found = transformer(x, present)
    for row in range(B):
        expected = x[row, present[row]]
        for block in transformer.blocks:
            expected = equations.block(block, expected)
        if norm == "pre":
            expected = equations.layer_norm(transformer.norm, expected)
        torch.testing.assert_close(found[row, present[row]], expected, atol=1e-5, rtol=1e-5)


@NORMS
def test_block_equals_torch(norm):
    transformer = make(norm, layers=1, dropout=0.0)
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
            **renamed("self_attn.out_proj", block.attention.out),
            **renamed("norm1", block.attention_norm),
            **renamed("linear1", linear_1),
            **renamed("linear2", linear_2),
            **renamed("norm2", norm_2),
        }
    )
    x, present = torch.randn(B, T, D, requires_grad=True), random_presence()
    ours, other = transformer(x, present), theirs(x, src_key_padding_mask=~present)
    torch.testing.assert_close(ours[present], other[present], atol=1e-5, rtol=1e-5)
    weight = torch.randn(D)  # a plain sum is blind to what was normalised
    (one,) = torch.autograd.grad((ours[present] @ weight).sum(), x)
    (two,) = torch.autograd.grad((other[present] @ weight).sum(), x)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def renamed(name: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """Return weight and bias of a module by their names in another one."""
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def randomise(module: nn.Module) -> None:
    """Make gains and biases random too, which are one and zero at first."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


def random_presence() -> torch.Tensor:
    present = torch.rand(B, T) < 0.6
    present[:, -1] = True
    return present


def test_pad_inverts_unpad():
    x, present = torch.randn(B, T, D), random_presence()
    unpadding = Unpadding(present)
    tokens = unpadding.unpad(x)
    assert tokens.equal(x[present])
    assert unpadding.pad(tokens).equal(x * present[..., None])
    assert tokens[unpadding.last(1)].equal(x[:, -1])
    present[:, -3:] = True
    unpadding = Unpadding(present)
    assert unpadding.unpad(x)[unpadding.last(3)].equal(x[:, -3:].flatten(0, 1))


def test_batched_equals_alone(transformer):
    """Each sample is computed as if its tokens were all there is."""
    x, present = torch.randn(B, T, D), random_presence()
    whole = transformer(x, present)
    assert not whole[~present].any()
    for row in range(B):
        alone = x[row, present[row]][None]
        expected = transformer(alone, torch.ones(alone.shape[:2], dtype=torch.bool))
        torch.testing.assert_close(whole[row, present[row]], expected[0])


def test_last_token_alone_equals_last_of_all(transformer):
    x, present = torch.randn(B, T, D), random_presence()
    last = transformer(x, present, last=True)
    torch.testing.assert_close(last, transformer(x, present)[:, -1:])


def test_padding_has_no_influence(transformer):
    x, present = torch.randn(B, T, D), torch.rand(B, T) < 0.6
    present[:, 0] = True
    changed = torch.where(present[..., None], x, 100.0)
    one, other = transformer(x, present), transformer(changed, present)
    assert one[present].equal(other[present])
    assert one.isfinite().all() and other.isfinite().all()


def test_row_without_tokens_is_finite(transformer):
    present = torch.zeros(B, T, dtype=torch.bool)
    present[0] = True
    x = torch.randn(B, T, D)
    assert transformer(x, present)[0].isfinite().all()


@pytest.mark.parametrize("place", [0, 3, T - 1])
def test_future_has_no_influence_if_causal(transformer, place):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    changed = x.clone()
    changed[:, place:] = torch.randn(B, T - place, D)
    one, other = transformer(x, present), transformer(changed, present)
    assert one[:, :place].equal(other[:, :place]) == (transformer.causal or place == 0)
    assert not torch.isclose(one[:, place:], other[:, place:]).all(-1).any()


def test_past_has_influence(transformer):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    changed = x.clone()
    changed[:, 0] = torch.randn(B, D)
    assert not torch.allclose(transformer(x, present)[:, -1], transformer(changed, present)[:, -1])


def test_dropout_is_for_training_only(transformer):
    x, present = torch.randn(B, T, D), torch.ones(B, T, dtype=torch.bool)
    assert transformer(x, present).equal(transformer(x, present))
    transformer.train()
    assert not transformer(x, present).equal(transformer(x, present))
