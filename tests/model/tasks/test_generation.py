"""The writer and the ways to choose its tokens, against slow computations of the same."""

import itertools
import math

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from components.model.settings import ModelSettings
from components.tasks.generation.decoder import Draft, Writer
from components.tasks.generation.decoding import beam, chooser, draw, nucleus
from components.tasks.generation.labels import END
from components.tasks.task_kinds import KINDS
from tests.shrunk import small_settings

SIZE, READ, LONGEST, VOCABULARY = 5, 4, 6, 7


def options(width: int = 8, norm: str = "pre") -> ModelSettings:
    size = {"width": width, "layers": 2, "heads": 2}
    return small_settings({"model.size": size, "model.norm": norm}).model


def make_writer(vocabulary: int = VOCABULARY, longest: int = LONGEST, norm: str = "pre") -> Writer:
    """A small writer with random weights, sharp enough that its choices differ."""
    torch.manual_seed(0)
    writer = Writer(vocabulary, longest, options(norm=norm))
    for parameter in (p for p in writer.parameters() if p.ndim > 1):
        torch.nn.init.normal_(parameter, std=0.7)
    return writer.eval()


def make_draft(writer: Writer, size: int = SIZE, seed: int = 0) -> Draft:
    """Random tokens to write about, of which some are missing."""
    g = torch.Generator().manual_seed(seed)
    width = writer.position.shape[1]
    mask = torch.rand(size, READ, generator=g) < 0.7
    mask[:, -1] = True  # the readout is always there
    return writer(torch.randn(size, READ, width, generator=g), mask)


def log_probability(draft: Draft, text: list[int]) -> float:
    """Of one text of the first sample, its end included, all at once."""
    tokens = torch.tensor([text])
    steps = draft[torch.tensor([0])].logits(tokens).log_softmax(-1)
    return float(steps.gather(2, tokens[..., None]).sum())


def texts(vocabulary: int, longest: int):
    """Every text that can be written: it ends, or it is as long as may be."""
    for length in range(longest + 1):
        for words in itertools.product(range(1, vocabulary), repeat=length):
            yield [*words, END] if length < longest else list(words)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("pieces", [[1] * LONGEST, [2, 3, 1], [LONGEST]])
def test_what_is_remembered_gives_the_same_logits_as_all_at_once(pieces, norm):
    draft = make_draft(writer := make_writer(norm=norm))
    written = torch.randint(1, VOCABULARY, (SIZE, LONGEST))
    fed = torch.cat([torch.full((SIZE, 1), END), written[:, :-1]], 1)
    state = writer.start(draft.tokens, draft.mask)
    steps = [writer.step(state, piece) for piece in fed.split(pieces, 1)]
    torch.testing.assert_close(torch.cat(steps, 1), draft.logits(written), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_token_knows_those_before_it_and_what_was_read_alone():
    draft = make_draft(make_writer())
    written = torch.randint(1, VOCABULARY, (SIZE, LONGEST))
    before = draft.logits(written)
    changed = written.clone()
    changed[:, 3] = changed[:, 3] % (VOCABULARY - 1) + 1
    after = draft.logits(changed)
    assert after[:, :4].equal(before[:, :4])
    assert not (after[:, 4:] == before[:, 4:]).all(2).any()
    hidden = draft.tokens.masked_fill(~draft.mask[..., None], 9.0)  # tokens that are not there
    assert Draft(draft.writer, hidden, draft.mask).logits(written).equal(before)
    other = Draft(draft.writer, draft.tokens + 1, draft.mask)
    assert not torch.allclose(other.logits(written), before)


@torch.no_grad()
def test_greedy_takes_the_best_token_each_time():
    draft = make_draft(make_writer())
    found = chooser("greedy")(draft, LONGEST)
    text = torch.zeros(SIZE, 0, dtype=torch.int64)
    for _ in range(found.tokens.shape[1]):  # without a memory
        ended = (text == END).any(1)
        best = draft.logits(F.pad(text, (0, 1)))[:, -1].argmax(1)
        text = torch.cat([text, best.masked_fill(ended, END)[:, None]], 1)
    assert found.tokens.equal(text)
    assert len({tuple(row) for row in text.tolist()}) > 1  # the samples do not all say the same
    alone = chooser("beam/1")(draft, LONGEST)
    assert alone.tokens.equal(text) and alone.log_probability.equal(found.log_probability)
    for row in range(SIZE):  # as if it were the only sample
        one = beam(draft[torch.tensor([row])], LONGEST, 1).tokens[0]
        assert one.equal(text[row, : len(one)]) and (text[row, len(one) :] == END).all()


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_is_wide_enough_finds_the_most_probable_of_all_texts(seed):
    vocabulary, longest = 4, 3
    draft = make_draft(make_writer(vocabulary, longest), seed=seed)
    ranked = sorted(
        texts(vocabulary, longest), key=lambda text: log_probability(draft, text), reverse=True
    )
    assert math.fsum(math.exp(log_probability(draft, text)) for text in ranked) == pytest.approx(1)
    found = beam(draft, longest, 40)
    best = found.tokens[0].tolist()
    assert best == ranked[0] + [END] * (len(best) - len(ranked[0]))
    expected = log_probability(draft, ranked[0])
    assert found.log_probability[0].item() == pytest.approx(expected, rel=1e-5)
    assert found.confidence[0].item() == pytest.approx(math.exp(expected / len(ranked[0])))


@torch.no_grad()
def test_a_narrow_beam_is_the_textbook_s():
    draft = make_draft(make_writer())
    width = 3
    beginnings: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(LONGEST):
        longer = [pair for pair in beginnings if END in pair[1]]
        for score, text in (pair for pair in beginnings if END not in pair[1]):
            fed = torch.tensor([[*text, END]])
            steps = draft[torch.tensor([0])].logits(fed)[0, -1].log_softmax(0).tolist()
            longer += [(score + step, [*text, token]) for token, step in enumerate(steps)]
        beginnings = sorted(longer, key=lambda pair: -pair[0])[:width]
    score, text = beginnings[0]
    found = beam(draft, LONGEST, width)
    assert found.tokens[0].tolist() == text + [END] * (found.tokens.shape[1] - len(text))
    assert found.log_probability[0].item() == pytest.approx(score, rel=1e-5)


@torch.no_grad()
def test_a_small_nucleus_is_greedy_and_the_whole_one_is_the_distribution():
    draft = make_draft(make_writer())
    greedy, small = chooser("greedy")(draft, LONGEST), chooser("nucleus/0.0")(draft, LONGEST)
    assert small.tokens.equal(greedy.tokens)
    torch.testing.assert_close(small.log_probability, greedy.log_probability)
    one = draft[torch.tensor([0])]
    expected = one.logits(torch.zeros(1, 1, dtype=torch.int64))[0, 0].softmax(0)
    drawn = torch.tensor([int(nucleus(one, 1, 1.0, seed).tokens) for seed in range(2000)])
    shares = drawn.bincount(minlength=VOCABULARY) / len(drawn)
    assert (shares - expected).abs().max() < 0.04


def test_a_nucleus_is_the_fewest_tokens_that_hold_the_share():
    probabilities = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]])
    for number, expected in ((0.0, [1, 0]), (0.56, [1, 0]), (0.58, [3, 0]), (0.999, [3, 0])):
        assert draw(probabilities, 0.7, number).tolist() == expected, number
    for number, expected in ((0.39, [1, 0]), (0.41, [3, 0]), (0.95, [0, 0]), (0.975, [0, 1])):
        assert draw(probabilities, 1.0, number).tolist() == expected, number


@torch.no_grad()
def test_what_is_drawn_follows_from_the_seed_and_the_sample_alone():
    draft = make_draft(make_writer(), 40)
    first, again = nucleus(draft, LONGEST, 0.9), nucleus(draft, LONGEST, 0.9)
    assert first.tokens.equal(again.tokens)
    assert not first.tokens.equal(nucleus(draft, LONGEST, 0.9, seed=1).tokens)
    for row in range(5):
        alone = nucleus(draft[torch.tensor([row])], LONGEST, 0.9)
        text = first.tokens[row]
        assert alone.tokens[0].equal(text[: alone.tokens.shape[1]])
        tokens = [t for t in text.tolist() if t != END]
        tokens = tokens if len(tokens) == LONGEST else [*tokens, END]
        expected = log_probability(draft[torch.tensor([row])], tokens)
        assert alone.log_probability.item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("decoding", ["greedy", "beam/3", "nucleus/0.9"])
def test_a_text_has_at_most_so_many_tokens_and_none_of_no_sample(decoding):
    draft = make_draft(make_writer(), 20)
    for longest in (1, 3, LONGEST):
        assert chooser(decoding)(draft, longest).tokens.shape[1] <= longest
    assert len(chooser(decoding)(draft[torch.zeros(20, dtype=torch.bool)], 3).tokens) == 0


def test_the_loss_is_a_mean_over_samples_of_the_mean_over_the_tokens_of_all_right_texts():
    kind = KINDS["generation"]([], 5, "greedy")
    draft = make_draft(kind.head(options()).eval(), 3)
    targets = torch.full((3, 2, 5), -1, dtype=torch.int32)
    right = {(0, 0): [5, 9, END], (0, 1): [7, END], (2, 0): [1, 2, 3, 4, 5]}  # the last one is cut
    losses: dict[int, list[float]] = {0: [], 2: []}
    hits = []
    for (row, place), text in right.items():
        tokens = torch.tensor(text)
        targets[row, place, : len(text)] = tokens
        logits = draft[torch.tensor([row])].logits(tokens[None])[0]
        losses[row] += F.cross_entropy(logits, tokens, reduction="none").tolist()
        hits += (logits.argmax(1) == tokens).tolist()
    expected = (sum(losses[0]) / 5 + sum(losses[2]) / 5) / 2
    assert kind.loss(draft, targets).item() == pytest.approx(expected, rel=1e-5)
    assert kind.quality(draft, targets) == pytest.approx(sum(hits) / 10)
    shorter = targets.masked_fill(torch.tensor([[True], [True], [False]])[..., None], -1)
    assert kind.loss(draft, shorter).item() == pytest.approx(sum(losses[2]) / 5, rel=1e-5)


def test_a_writer_learns_texts_by_heart_and_says_how_sure_it_is():
    kind = KINDS["generation"](["Ġ a"], 8, "beam/2")
    torch.manual_seed(0)
    writer = kind.head(options(width=16))
    tokens, mask = torch.randn(4, 2, 16), torch.ones(4, 2, dtype=torch.bool)
    wanted = ["a cat", "a dog", "é 東", "a very long text"]
    targets = kind.targets(pd.Series([[text] for text in wanted]))
    optimiser = torch.optim.Adam(writer.parameters(), lr=0.02)
    for _ in range(100):
        optimiser.zero_grad()
        kind.loss(writer(tokens, mask), targets).backward()
        optimiser.step()
    with torch.no_grad():
        answers = kind.predict(writer.eval()(tokens, mask))
    assert answers.values == ["a cat", "a dog", "é 東", "a very l"]  # 8 tokens
    assert all(0.9 < share <= 1 for share in answers.confidence)
    assert kind.record(writer(tokens, mask)).values == answers.values


@torch.no_grad()
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_writer_is_torch_s_decoder(norm):
    writer = make_writer(norm=norm)
    width = writer.position.shape[1]
    layers = []
    for block in writer.blocks:
        layer = torch.nn.TransformerDecoderLayer(
            width, 2, 4 * width, 0.0, "gelu", batch_first=True, norm_first=norm == "pre"
        )
        pairs = ((layer.self_attn, block.own), (layer.multihead_attn, block.read))
        for theirs, ours in pairs:
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
            theirs.out_proj.load_state_dict(ours.out.state_dict())
        for name, part in (
            ("norm1", block.own_norm), ("norm2", block.read_norm), ("norm3", block.feed_forward[0]),
            ("linear1", block.feed_forward[1]), ("linear2", block.feed_forward[3]),
        ):  # fmt: skip
            getattr(layer, name).load_state_dict(part.state_dict())
        layers.append(layer.eval())
    draft = make_draft(writer)
    written = torch.randint(1, VOCABULARY, (SIZE, LONGEST))
    fed = torch.cat([torch.full((SIZE, 1), END), written[:, :-1]], 1)
    x = writer.embedding(fed) + writer.position
    future = torch.ones(LONGEST, LONGEST, dtype=torch.bool).triu(1)
    for layer in layers:
        x = layer(x, draft.tokens, tgt_mask=future, memory_key_padding_mask=~draft.mask)
    expected = writer.norm(x) @ writer.embedding.weight.T
    torch.testing.assert_close(draft.logits(written), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_with_late_fusion_a_text_is_about_what_each_modality_that_may_say_it_read():
    draft = make_draft(make_writer(), 3)
    places = torch.tensor([[True, False, True], [False, True, False]])
    votes = torch.tensor([[True, False, False], [False, True, False]])
    both, one = (KINDS["generation"].average(draft.spread(places), v) for v in (places, votes))
    written = torch.randint(1, VOCABULARY, (2, LONGEST))
    alone = draft[torch.tensor([0, 2])].logits(written)
    torch.testing.assert_close(one.logits(written), alone, rtol=1e-5, atol=1e-5)
    pair = Draft(draft.writer, draft.tokens[:2].flatten(0, 1)[None], draft.mask[:2].flatten()[None])
    torch.testing.assert_close(
        both.logits(written)[:1], pair.logits(written[:1]), rtol=1e-5, atol=1e-5
    )
