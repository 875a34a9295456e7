"""Features of texts that need no training: the runs of tokens in them, as in fastText."""

import torch
from torch import Tensor

from components.layers.features import length_mask

LONGEST = 3  # tokens of a run
BUCKETS = 8192  # that runs share by chance (Joulin et al. 2017)
FACTORS = (1_000_003, 8_191, 127)  # which spread runs over the buckets


def describe(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the buckets of all runs of one to `LONGEST` tokens [N, G], and which are there."""
    buckets, masks = [], []
    for length in range(1, LONGEST + 1):
        runs = tokens.unfold(1, length, 1)  # [N, T - length + 1, length]
        code = sum(run * factor for run, factor in zip(runs.unbind(-1), FACTORS, strict=False))
        buckets.append((code + length) % BUCKETS)
        masks.append(length_mask(lengths - length + 1, runs.shape[1]))
    return torch.cat(buckets, 1), torch.cat(masks, 1)
