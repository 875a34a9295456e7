"""How the tokens of a text are chosen: greedily, by beam search, or by nucleus sampling."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from components.tasks.generation.decoder import DecoderInput
from components.tasks.generation.labels import END


@dataclass(frozen=True)
class WrittenTexts:
    """B texts."""

    tokens: Tensor  # int64 [B, T], `END` from the end of a text on
    log_probability: Tensor  # float [B], of all tokens of a text with its end

    @property
    def confidence(self) -> Tensor:
        """float [B]: the geometric mean of the probabilities of the tokens of a text."""
        ends = (self.tokens != END).sum(1) + 1  # a text has no `END` before its end
        lengths = ends.clamp(max=self.tokens.shape[1])
        return (self.log_probability / lengths.clamp(min=1)).exp()


def decoder_of(decoding: str) -> Callable[[DecoderInput, int], WrittenTexts]:
    """Return what `decoding` in params.yaml names: it writes texts of at most so many tokens."""
    name, _, number = decoding.partition("/")
    if name == "nucleus":
        return partial(nucleus_sampling, p=float(number))
    return partial(beam_search, width=int(number or 1))  # greedy: one beam


def beam_search(texts: DecoderInput, max_tokens: int, width: int) -> WrittenTexts:
    """Return the most probable text of a search that keeps the `width` best prefixes.

    A finished text stays among them with its probability: once it is the best, no prefix can
    overtake it.
    """
    decoder, size = texts.decoder, len(texts)
    wide = torch.arange(size, device=texts.mask.device).repeat_interleave(width)  # [B · W]
    state = decoder.start(texts.tokens[wide], texts.mask[wide])
    last = torch.full_like(wide, END)[:, None]  # [B · W, 1]
    prefixes = last.new_empty(size, width, 0)
    done = torch.zeros_like(prefixes.sum(2), dtype=torch.bool)  # [B, W]
    scores = texts.tokens.new_full((size, width), -torch.inf)
    scores[:, 0] = 0  # at first all prefixes are equal
    for _ in range(max_tokens):
        steps = decoder.step(state, last)[:, 0].log_softmax(-1).unflatten(0, (size, width))
        finished = torch.full_like(steps[:1, :1], -torch.inf)  # [1, 1, V]
        finished[..., END] = 0
        totals = scores[..., None] + torch.where(done[..., None], finished, steps)  # [B, W, V]
        scores, best = totals.flatten(1).topk(width)  # [B, W]
        parents, chosen = best // totals.shape[2], best % totals.shape[2]
        before = prefixes.gather(1, parents[..., None].expand(-1, -1, prefixes.shape[2]))
        prefixes = torch.cat([before, chosen[..., None]], 2)
        done = done.gather(1, parents) | (chosen == END)
        if done[:, 0].all():
            break
        offsets = torch.arange(size, device=wide.device)[:, None] * width
        state.select((offsets + parents).flatten())
        last = chosen.view(-1, 1)
    return WrittenTexts(prefixes[:, 0], scores[:, 0])


def nucleus_sampling(texts: DecoderInput, max_tokens: int, p: float, seed: int = 0) -> WrittenTexts:
    """Return texts drawn token by token from the nucleus (Holtzman et al. 2020).

    It is the smallest set of tokens that holds the probability p. All texts are drawn with the same
    random numbers, so that one does not depend on the others.
    """
    decoder, generator = texts.decoder, torch.Generator().manual_seed(seed)
    state = decoder.start(texts.tokens, texts.mask)
    last = torch.full_like(texts.mask[:, :1], END, dtype=torch.int64)  # [B, 1]
    written = last[:, :0]
    done = torch.zeros_like(texts.mask[:, 0])  # [B]
    total = texts.tokens.new_zeros(len(texts))
    for _ in range(max_tokens):
        steps = decoder.step(state, last)[:, 0].log_softmax(-1)  # [B, V]
        number = torch.rand((), generator=generator).item()
        chosen = sample_nucleus(steps.exp(), p, number).masked_fill(done, END)
        total = total + steps.gather(1, chosen[:, None])[:, 0].masked_fill(done, 0)
        written = torch.cat([written, chosen[:, None]], 1)
        done = done | (chosen == END)
        if done.all():
            break
        last = chosen[:, None]
    return WrittenTexts(written, total)


def sample_nucleus(probabilities: Tensor, p: float, number: float) -> Tensor:
    """Return where `number`, in [0, 1), falls in the nucleus of each row: [B, V] → int64 [B]."""
    ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
    sums = ranked.cumsum(1)
    size = (sums - ranked < p).sum(1, keepdim=True).clamp(min=1)  # [B, 1], of the nucleus
    mass = sums.gather(1, size - 1)
    place = (sums <= number * mass).sum(1, keepdim=True).minimum(size - 1)
    return order.gather(1, place)[:, 0]
