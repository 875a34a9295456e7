"""Contrastive losses, each with what it learns itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_LOG_SCALE = math.log(100)  # as in CLIP


class ContrastiveLoss(nn.Module, ABC):
    """A contrastive loss with a learnt temperature per relation.

    A positive pair are two assets known to belong together. An asset may be in any number of them,
    and no positive pair is pushed apart: of two assets with the same partner neither counts as a
    negative of it.
    """

    INITIAL_LOG_SCALE: ClassVar[float]  # of the log inverse temperature

    def __init__(self, relations: Sequence[str]):
        super().__init__()
        self.relations = tuple(relations)  # their names
        self.log_scale = nn.Parameter(torch.full((len(self.relations),), self.INITIAL_LOG_SCALE))

    def scale(self, relation: str) -> Tensor:
        """Return the inverse temperature of a relation, a scalar."""
        return self.log_scale[self.relations.index(relation)].exp()

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring every temperature back into its bounds, from which it can still be learnt."""
        self.log_scale.clamp_(max=MAX_LOG_SCALE)

    @abstractmethod
    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        """Return the loss of a relation between embeddings of length 1, [N, E] and [M, E].

        `positive`, bool [N, M], is true at positive pairs.
        """


class InfoNce(ContrastiveLoss):
    """Each positive pair against all negatives of either asset.

    Symmetric InfoNCE (Radford et al. 2021, figure 3) with any number of partners.
    """

    INITIAL_LOG_SCALE = math.log(1 / 0.07)

    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        logits = self.scale(relation) * left @ right.T  # [N, M]
        return 0.5 * (_one_way(logits, positive) + _one_way(logits.T, positive.T))


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over the positive pairs of -log(e^s / (e^s + Σ over the negatives of its row))."""
    negatives = logits.masked_fill(positive, -torch.inf).logsumexp(1, keepdim=True)  # [N, 1]
    losses = F.softplus(negatives - logits)  # log(1 + e^(negatives - s)), [N, M]
    return losses.masked_fill(~positive, 0.0).sum() / positive.sum().clamp(min=1)


class Sigmoid(ContrastiveLoss):
    """Each pair by itself is classified as positive or not; a bias per relation is learnt too.

    The loss of SigLIP (Zhai et al. 2023, algorithm 1) with any number of partners. The sum over all
    pairs is divided by the number of positive ones, which is the number of samples where each asset
    has one partner. As most pairs are negative, it starts as in the paper, with a probability of
    every pair near e⁻¹⁰.
    """

    INITIAL_LOG_SCALE = math.log(10)

    def __init__(self, relations: Sequence[str]):
        super().__init__(relations)
        self.bias = nn.Parameter(torch.full((len(self.relations),), -10.0))

    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        bias = self.bias[self.relations.index(relation)]
        logits = self.scale(relation) * left @ right.T + bias  # [N, M]
        losses = -F.logsigmoid(torch.where(positive, logits, -logits))  # [N, M]
        return losses.sum() / positive.sum().clamp(min=1)


LOSSES: dict[str, type[ContrastiveLoss]] = {"infonce": InfoNce, "sigmoid": Sigmoid}
