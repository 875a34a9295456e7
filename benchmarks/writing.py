"""Texts a second that a head writes greedily, with its memory (the KV cache) and without.

Without one every token is computed from all tokens before it, each time anew.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from components.config.load import load_settings
from components.model.settings import ModelSettings
from components.tasks.generation.decoder import Draft, Writer
from components.tasks.generation.decoding import beam

TEXTS, READ, VOCABULARY = 64, 8, 512  # texts at once, tokens to write about, tokens there are
LENGTHS = (16, 64, 128)
TURNS = 3


def forgetful(draft: Draft, longest: int) -> Tensor:
    """The tokens that greedy decoding without a memory writes, [B, longest]."""
    text = torch.zeros(len(draft), 0, dtype=torch.int64)
    for _ in range(longest):
        best = draft.logits(F.pad(text, (0, 1)))[:, -1].argmax(1)
        text = torch.cat([text, best[:, None]], 1)
    return text


def seconds(write: Callable[[], Tensor]) -> float:
    """Processor time of one call."""
    began = time.process_time()
    write()
    return time.process_time() - began


@torch.no_grad()
def measure(options: ModelSettings, length: int) -> tuple[float, float]:
    """Medians of both in turns, for texts that never end before `length`."""
    torch.manual_seed(0)
    writer = Writer(VOCABULARY, length, options).eval()
    writer.embedding.weight[0] = 0  # the end is never the best token
    mask = torch.ones(TEXTS, READ, dtype=torch.bool)
    draft = writer(torch.randn(TEXTS, READ, options.width), mask)
    with_it, without = (lambda: beam(draft, length, 1).tokens), (lambda: forgetful(draft, length))
    if not with_it().equal(without()):
        raise AssertionError("the texts differ")
    turns = [(seconds(with_it), seconds(without)) for _ in range(TURNS)]
    return tuple(map(statistics.median, zip(*turns, strict=True)))


def main() -> None:
    """Print a line a length."""
    torch.set_num_threads(1)
    options = load_settings(Path("params.yaml")).model
    for length in LENGTHS:
        ours, other = measure(options, length)
        rates = f"{TEXTS / ours:,.0f} texts a second, without memory {TEXTS / other:,.0f}"
        print(f"{length} tokens: {rates}: {other / ours:.1f} x")


if __name__ == "__main__":
    main()
