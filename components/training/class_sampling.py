"""Class sampling: batches that draw every class equally often."""

import torch
from torch import Tensor


def draw_evenly(members: Tensor, count: int) -> Tensor:
    """Return `count` samples, int64, any stretch of which has about as many of each class.

    Class-aware sampling (Shen et al. 2016, "Relay backpropagation for effective learning of deep
    convolutional neural networks"): the classes take turns in random order, and each gives its
    samples in random order, all of them before any comes again. Samples of no class keep their
    part of the whole.

    Args:
        members: whether each of N samples is of each class, bool [N, classes].
        count: of samples to draw.
    """
    classes = [column.nonzero().squeeze(1) for column in members.T if column.any()]
    others = (~members.any(1)).nonzero().squeeze(1)
    of_none = round(count * len(others) / len(members))
    turns = _repeated(torch.arange(len(classes)), count - of_none)
    drawn = torch.empty_like(turns)
    for code, samples in enumerate(classes):
        drawn[turns == code] = _repeated(samples, int((turns == code).sum()))
    places = torch.randperm(count)
    index = torch.empty(count, dtype=torch.int64)
    index[places[:of_none]] = _repeated(others, of_none)
    index[places[of_none:].sort().values] = drawn
    return index


def _repeated(values: Tensor, count: int) -> Tensor:
    """Return `count` of some values in random order, all of them before any comes again."""
    rounds = -(-count // max(1, len(values)))
    order = torch.rand(rounds, len(values)).argsort(1)  # a permutation per round
    return values[order].flatten()[:count]
