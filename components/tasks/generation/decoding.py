"""How the tokens of a text are chosen: greedily, by beam search, or at random from a nucleus."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from components.tasks.generation.decoder import Draft
from components.tasks.generation.labels import END

SEED = 0  # of texts drawn at random


@dataclass(frozen=True)
class Written:
    """B texts.

    Attributes:
        tokens: int64 [B, T]; from a text's end on, `END`.
        log_probability: float [B], of all tokens of a text, its end included.
    """

    tokens: Tensor
    log_probability: Tensor

    @property
    def confidence(self) -> Tensor:
        """float [B]: the geometric mean of the probabilities of a text's tokens."""
        ends = (self.tokens != END).sum(1) + 1  # a text has no `END` before its end
        lengths = ends.clamp(max=self.tokens.shape[1])
        return (self.log_probability / lengths.clamp(min=1)).exp()


def chooser(decoding: str) -> Callable[[Draft, int], Written]:
    """What `decoding` in params.yaml names: texts for a draft, of so many tokens at most."""
    name, _, number = decoding.partition("/")
    if name == "nucleus":
        return partial(nucleus, share=float(number))
    return partial(beam, width=int(number or 1))  # greedy: the best beginning alone


def beam(draft: Draft, longest: int, width: int) -> Written:
    """The most probable text that a search finds which keeps the `width` best beginnings.

    A text that has ended stays among them, at the probability that it has: once it is the best,
    no beginning can overtake it.
    """
    writer, size = draft.writer, len(draft)
    wide = torch.arange(size, device=draft.mask.device).repeat_interleave(width)  # [B · W]
    state = writer.start(draft.tokens[wide], draft.mask[wide])
    last = torch.full_like(wide, END)[:, None]  # [B · W, 1]
    texts = last.new_empty(size, width, 0)
    done = torch.zeros_like(texts.sum(2), dtype=torch.bool)  # [B, W]
    scores = draft.tokens.new_full((size, width), -torch.inf)
    scores[:, 0] = 0  # at first all beginnings are the same one
    for _ in range(longest):
        steps = writer.step(state, last)[:, 0].log_softmax(-1).unflatten(0, (size, width))
        over = torch.full_like(steps[:1, :1], -torch.inf)  # [1, 1, V]
        over[..., END] = 0
        totals = scores[..., None] + torch.where(done[..., None], over, steps)  # [B, W, V]
        scores, best = totals.flatten(1).topk(width)  # [B, W]
        parents, chosen = best // totals.shape[2], best % totals.shape[2]
        before = texts.gather(1, parents[..., None].expand(-1, -1, texts.shape[2]))
        texts = torch.cat([before, chosen[..., None]], 2)
        done = done.gather(1, parents) | (chosen == END)
        if done[:, 0].all():
            break
        state.pick((torch.arange(size, device=wide.device)[:, None] * width + parents).flatten())
        last = chosen.view(-1, 1)
    return Written(texts[:, 0], scores[:, 0])


def nucleus(draft: Draft, longest: int, share: float, seed: int = SEED) -> Written:
    """A text drawn token by token from the fewest tokens that hold `share` of the probability
    (Holtzman et al. 2020).

    All texts are drawn with the same random numbers, so that one does not depend on the others.
    """
    writer, chance = draft.writer, torch.Generator().manual_seed(seed)
    state = writer.start(draft.tokens, draft.mask)
    last = torch.full_like(draft.mask[:, :1], END, dtype=torch.int64)  # [B, 1]
    texts = last[:, :0]
    done = torch.zeros_like(draft.mask[:, 0])  # [B]
    total = draft.tokens.new_zeros(len(draft))
    for _ in range(longest):
        steps = writer.step(state, last)[:, 0].log_softmax(-1)  # [B, V]
        number = torch.rand((), generator=chance).item()
        chosen = draw(steps.exp(), share, number).masked_fill(done, END)
        total = total + steps.gather(1, chosen[:, None])[:, 0].masked_fill(done, 0)
        texts = torch.cat([texts, chosen[:, None]], 1)
        done = done | (chosen == END)
        if done.all():
            break
        last = chosen[:, None]
    return Written(texts, total)


def draw(probabilities: Tensor, share: float, number: float) -> Tensor:
    """Where `number`, 0 to less than 1, falls in the nucleus of each row: [B, V] → int64 [B]."""
    ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
    sums = ranked.cumsum(1)
    size = (sums - ranked < share).sum(1, keepdim=True).clamp(min=1)  # [B, 1], of the nucleus
    whole = sums.gather(1, size - 1)
    place = (sums <= number * whole).sum(1, keepdim=True).minimum(size - 1)
    return order.gather(1, place)[:, 0]
