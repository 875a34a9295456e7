"""Losses and scores that several parts share."""

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(first: Tensor, second: Tensor, inverse_temperature: float) -> Tensor:
    """NT-Xent of two views of each asset, [B, D] each (SimCLR, Chen et al. 2020, equation 1)."""
    views = F.normalize(torch.cat([first, second]), dim=-1)  # [2B, D]
    itself = torch.eye(len(views), dtype=torch.bool)
    similarity = (inverse_temperature * views @ views.T).masked_fill(itself, -torch.inf)  # [2B, 2B]
    return F.cross_entropy(similarity, torch.arange(len(views)).roll(len(first)))


def sparse_binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy summed over the classes, mean over the rows whose target is known.

    Args:
        logits: [B, classes].
        targets: float [B, K, 2], pairs of class and score, padded with pairs of score 0; all other
            classes have the score 0; NaN where unknown.
    """
    known = ~targets.isnan().flatten(1).any(1)
    classes, scores = targets[known].unbind(-1)  # [n, K] each
    said = logits[known].gather(1, classes.long())
    losses = F.softplus(logits[known]).sum(1) - (scores * said).sum(1)
    return losses.mean().nan_to_num()


def micro_f1(true_positives: int, predicted_and_true: int) -> float:
    """F1 over all decisions, from the sum of positive predictions and targets; 1 if it is 0."""
    return 2 * true_positives / predicted_and_true if predicted_and_true else 1.0
