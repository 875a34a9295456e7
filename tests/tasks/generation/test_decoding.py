"""Greedy decoding, beam search and nucleus sampling, against slow computations of the same."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from components.tasks.generation.decoding import (
    beam_search,
    decoder_of,
    nucleus_sampling,
    sample_nucleus,
)
from components.tasks.generation.labels import END
from tests.tasks.generation.texts import (
    MAX_TOKENS,
    SIZE,
    VOCAB_SIZE,
    log_probability,
    make_decoder,
    make_input,
)

pytestmark = pytest.mark.usefixtures("no_grad")


def every_text(vocab_size: int, max_tokens: int):
    """Yield every text that can be written: it ends, or has the maximum length."""
    for length in range(max_tokens + 1):
        for words in itertools.product(range(1, vocab_size), repeat=length):
            yield [*words, END] if length < max_tokens else list(words)


def test_greedy_takes_the_best_token_each_time():
    texts = make_input(make_decoder())
    found = decoder_of("greedy")(texts, MAX_TOKENS)
    written = torch.zeros(SIZE, 0, dtype=torch.int64)
    for _ in range(found.tokens.shape[1]):  # without a cache
        ended = (written == END).any(1)
        best = texts.teacher_forced_logits(F.pad(written, (0, 1)))[:, -1].argmax(1)
        written = torch.cat([written, best.masked_fill(ended, END)[:, None]], 1)
    assert found.tokens.equal(written)
    assert len({tuple(row) for row in written.tolist()}) > 1  # samples have different texts
    one_beam = decoder_of("beam/1")(texts, MAX_TOKENS)
    assert one_beam.tokens.equal(written)
    assert one_beam.log_probability.equal(found.log_probability)
    for row in range(SIZE):  # batched equals alone
        alone = beam_search(texts[torch.tensor([row])], MAX_TOKENS, 1).tokens[0]
        assert alone.equal(written[row, : len(alone)]) and (written[row, len(alone) :] == END).all()


@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_finds_the_most_probable_text(seed):
    vocab_size, max_tokens = 4, 3
    texts = make_input(make_decoder(vocab_size, max_tokens), seed=seed)
    ranked = sorted(
        every_text(vocab_size, max_tokens),
        key=lambda text: log_probability(texts, text),
        reverse=True,
    )
    total = math.fsum(math.exp(log_probability(texts, text)) for text in ranked)
    assert total == pytest.approx(1)
    found = beam_search(texts, max_tokens, 40)
    best = found.tokens[0].tolist()
    assert best == ranked[0] + [END] * (len(best) - len(ranked[0]))
    expected = log_probability(texts, ranked[0])
    assert found.log_probability[0].item() == pytest.approx(expected, rel=1e-5)
    assert found.confidence[0].item() == pytest.approx(math.exp(expected / len(ranked[0])))


def test_narrow_beam_keeps_the_best_prefixes():
    texts = make_input(make_decoder())
    width = 3
    prefixes: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(MAX_TOKENS):
        longer = [pair for pair in prefixes if END in pair[1]]
        for score, text in (pair for pair in prefixes if END not in pair[1]):
            fed = torch.tensor([[*text, END]])
            logits = texts[torch.tensor([0])].teacher_forced_logits(fed)[0, -1]
            steps = logits.log_softmax(0).tolist()
            longer += [(score + step, [*text, token]) for token, step in enumerate(steps)]
        prefixes = sorted(longer, key=lambda pair: -pair[0])[:width]
    score, text = prefixes[0]
    found = beam_search(texts, MAX_TOKENS, width)
    assert found.tokens[0].tolist() == text + [END] * (found.tokens.shape[1] - len(text))
    assert found.log_probability[0].item() == pytest.approx(score, rel=1e-5)


def test_small_nucleus_is_greedy():
    texts = make_input(make_decoder())
    greedy = decoder_of("greedy")(texts, MAX_TOKENS)
    small = decoder_of("nucleus/0.0")(texts, MAX_TOKENS)
    assert small.tokens.equal(greedy.tokens)
    torch.testing.assert_close(small.log_probability, greedy.log_probability)


def test_whole_nucleus_samples_the_distribution():
    """A uniform number chooses by the cumulative distribution, the most probable token first."""
    one = make_input(make_decoder())[torch.tensor([0])]
    first = torch.zeros(1, 1, dtype=torch.int64)
    probabilities = one.teacher_forced_logits(first)[0, 0].softmax(0)
    ranked, order = probabilities.sort(descending=True)
    sampled = []
    for seed in range(200):
        number = torch.rand((), generator=torch.Generator().manual_seed(seed))
        sampled.append(int(nucleus_sampling(one, 1, 1.0, seed).tokens))
        assert sampled[-1] == order[int(torch.searchsorted(ranked.cumsum(0), number))]
    fractions = torch.tensor(sampled).bincount(minlength=VOCAB_SIZE) / len(sampled)
    assert (fractions - probabilities).abs().max() < 0.1


def test_nucleus_is_the_smallest_set_with_the_probability():
    probabilities = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]])
    for number, expected in ((0.0, [1, 0]), (0.56, [1, 0]), (0.58, [3, 0]), (0.999, [3, 0])):
        assert sample_nucleus(probabilities, 0.7, number).tolist() == expected, number
    for number, expected in ((0.39, [1, 0]), (0.41, [3, 0]), (0.95, [0, 0]), (0.975, [0, 1])):
        assert sample_nucleus(probabilities, 1.0, number).tolist() == expected, number


def test_sampled_text_follows_from_seed_and_sample_alone():
    texts = make_input(make_decoder(), 40)
    first, again = (nucleus_sampling(texts, MAX_TOKENS, 0.9) for _ in range(2))
    assert first.tokens.equal(again.tokens)
    assert not first.tokens.equal(nucleus_sampling(texts, MAX_TOKENS, 0.9, seed=1).tokens)
    for row in range(5):
        one = texts[torch.tensor([row])]
        alone = nucleus_sampling(one, MAX_TOKENS, 0.9)
        text = first.tokens[row]
        assert alone.tokens[0].equal(text[: alone.tokens.shape[1]])
        tokens = [t for t in text.tolist() if t != END]
        tokens = tokens if len(tokens) == MAX_TOKENS else [*tokens, END]
        expected = log_probability(one, tokens)
        assert alone.log_probability.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("decoding", ["greedy", "beam/3", "nucleus/0.9"])
def test_texts_have_at_most_max_tokens(decoding):
    texts = make_input(make_decoder(), 20)
    for max_tokens in (1, 3, MAX_TOKENS):
        assert decoder_of(decoding)(texts, max_tokens).tokens.shape[1] <= max_tokens
    nothing = texts[torch.zeros(20, dtype=torch.bool)]
    assert len(decoder_of(decoding)(nothing, 3).tokens) == 0
