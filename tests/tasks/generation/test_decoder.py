"""The text decoder, against slow computations of the same and against torch."""

import pytest
import torch

from components.tasks.generation.decoder import DecoderInput
from components.tasks.generation.labels import END
from components.tasks.registry import head_of
from tests.tasks.generation.texts import MAX_TOKENS, SIZE, VOCAB_SIZE, make_decoder, make_input

NORMS = pytest.mark.parametrize("norm", ["pre", "post"])
pytestmark = pytest.mark.usefixtures("no_grad")


def random_texts(size: int = SIZE) -> torch.Tensor:
    return torch.randint(1, VOCAB_SIZE, (size, MAX_TOKENS))


@NORMS
@pytest.mark.parametrize("pieces", [[1] * MAX_TOKENS, [2, 3, 1], [MAX_TOKENS]])
def test_cached_logits_equal_those_at_once(pieces, norm):
    texts = make_input(decoder := make_decoder(norm=norm))
    written = random_texts()
    fed = torch.cat([torch.full((SIZE, 1), END), written[:, :-1]], 1)
    state = decoder.start(texts.tokens, texts.mask)
    steps = torch.cat([decoder.step(state, piece) for piece in fed.split(pieces, 1)], 1)
    torch.testing.assert_close(steps, texts.teacher_forced_logits(written), rtol=1e-5, atol=1e-5)


def test_token_depends_on_earlier_tokens_and_the_input_alone():
    texts, written = make_input(make_decoder()), random_texts()
    before = texts.teacher_forced_logits(written)
    changed = written.clone()
    changed[:, 3] = changed[:, 3] % (VOCAB_SIZE - 1) + 1
    after = texts.teacher_forced_logits(changed)
    assert after[:, :4].equal(before[:, :4])
    assert not (after[:, 4:] == before[:, 4:]).all(2).any()
    padded = texts.tokens.masked_fill(~texts.mask[..., None], 9.0)
    hidden = DecoderInput(texts.decoder, padded, texts.mask)
    assert hidden.teacher_forced_logits(written).equal(before)
    other = DecoderInput(texts.decoder, texts.tokens + 1, texts.mask)
    assert not torch.allclose(other.teacher_forced_logits(written), before)


@NORMS
def test_decoder_equals_torch(norm):
    decoder = make_decoder(norm=norm)
    width = decoder.position.shape[1]
    layers = []
    for block in decoder.blocks:
        layer = torch.nn.TransformerDecoderLayer(
            width, 2, 4 * width, 0.0, "gelu", batch_first=True, norm_first=norm == "pre"
        )
        pairs = ((layer.self_attn, block.own), (layer.multihead_attn, block.read))
        for theirs, ours in pairs:
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
            theirs.out_proj.load_state_dict(ours.out.state_dict())
        norm_3, linear_1, _, linear_2, _ = block.feed_forward
        for theirs, ours in (
            (layer.norm1, block.own_norm),
            (layer.norm2, block.read_norm),
            (layer.norm3, norm_3),
            (layer.linear1, linear_1),
            (layer.linear2, linear_2),
        ):
            theirs.load_state_dict(ours.state_dict())
        layers.append(layer.eval())
    texts, written = make_input(decoder), random_texts()
    fed = torch.cat([torch.full((SIZE, 1), END), written[:, :-1]], 1)
    x = decoder.embedding(fed) + decoder.position
    future = torch.ones(MAX_TOKENS, MAX_TOKENS, dtype=torch.bool).triu(1)
    for layer in layers:
        x = layer(x, texts.tokens, tgt_mask=future, memory_key_padding_mask=~texts.mask)
    expected = decoder.norm(x) @ decoder.embedding.weight.T
    found = texts.teacher_forced_logits(written)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_late_fusion_writes_about_what_the_voters_read():
    texts, average = make_input(make_decoder(), 3), head_of("generation").average
    places = torch.tensor([[True, False, True], [False, True, False]])
    votes = torch.tensor([[True, False, False], [False, True, False]])
    both, one = (average(texts.scatter(places), v) for v in (places, votes))
    written = random_texts(2)
    alone = texts[torch.tensor([0, 2])].teacher_forced_logits(written)
    torch.testing.assert_close(one.teacher_forced_logits(written), alone, rtol=1e-5, atol=1e-5)
    tokens, mask = texts.tokens[:2].flatten(0, 1)[None], texts.mask[:2].flatten()[None]
    expected = DecoderInput(texts.decoder, tokens, mask).teacher_forced_logits(written[:1])
    found = both.teacher_forced_logits(written)[:1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
