"""The losses that make one space of several modalities, each with what it learns of its own."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LIMIT = math.log(100)  # of the log inverse temperature, as in CLIP


class Contrast(nn.Module, ABC):
    """A contrastive loss with a learnt temperature a relation.

    A positive pair is one of which it is known that the two belong together. An asset may be in
    any number of them, and no positive pair is ever pushed apart: of two assets with the same
    partner neither counts as a wrong answer to it.

    Attributes:
        START: of the log inverse temperature.
        relations: the names of what is related.
    """

    START: ClassVar[float]

    def __init__(self, relations: Sequence[str]):
        super().__init__()
        self.relations = tuple(relations)
        self.log_scale = nn.Parameter(torch.full((len(self.relations),), self.START))

    def scale(self, relation: str) -> Tensor:
        """Inverse temperature of a relation, a scalar."""
        return self.log_scale[self.relations.index(relation)].exp()

    @torch.no_grad()
    def limit(self) -> None:
        """Bring every temperature back to where it may be; from there it can still be learnt."""
        self.log_scale.clamp_(max=LIMIT)

    @abstractmethod
    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        """The loss of a relation.

        Args:
            relation: its name.
            left: embeddings of length 1 [N, E].
            right: embeddings of length 1 [M, E].
            positive: bool [N, M], true where the two belong together.
        """


class InfoNce(Contrast):
    """Each positive pair is to be told from all pairs of either asset that are not positive."""

    START = math.log(1 / 0.07)

    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        """See `Contrast` and `infonce`."""
        return infonce(left, right, positive, self.scale(relation))


class Sigmoid(Contrast):
    """Each pair by itself is to be called positive or not; a bias a relation is learnt too.

    Since most pairs are not positive, it starts where the paper has it: every pair is called so
    with a probability near e⁻¹⁰.
    """

    START = math.log(10)

    def __init__(self, relations: Sequence[str]):
        super().__init__(relations)
        self.bias = nn.Parameter(torch.full((len(self.relations),), -10.0))

    def forward(self, relation: str, left: Tensor, right: Tensor, positive: Tensor) -> Tensor:
        """See `Contrast` and `sigmoid`."""
        bias = self.bias[self.relations.index(relation)]
        return sigmoid(left, right, positive, self.scale(relation), bias)


LOSSES: dict[str, type[Contrast]] = {"infonce": InfoNce, "sigmoid": Sigmoid}


def infonce(left: Tensor, right: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021, figure 3) with any number of partners.

    Args:
        left: embeddings of length 1 [N, E].
        right: embeddings of length 1 [M, E].
        positive: bool [N, M], true where the two belong together.
        scale: the inverse temperature, a scalar.
    """
    logits = scale * left @ right.T  # [N, M]
    return 0.5 * (_one_way(logits, positive) + _one_way(logits.T, positive.T))


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over the positive pairs of -log(e^s / (e^s + Σ over the negatives of its row))."""
    negatives = logits.masked_fill(positive, -torch.inf).logsumexp(1, keepdim=True)  # [N, 1]
    losses = F.softplus(negatives - logits)  # log(1 + e^(negatives - s)), [N, M]
    return losses.masked_fill(~positive, 0.0).sum() / positive.sum().clamp(min=1)


def sigmoid(left: Tensor, right: Tensor, positive: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The loss of SigLIP (Zhai et al. 2023, algorithm 1) with any number of partners.

    Its sum over all pairs is divided by the number of positive ones, which is the number of
    samples where each asset has one partner.

    Args:
        left: embeddings of length 1 [N, E].
        right: embeddings of length 1 [M, E].
        positive: bool [N, M], true where the two belong together.
        scale: the inverse temperature, a scalar.
        bias: of every logit, a scalar.
    """
    logits = scale * left @ right.T + bias  # [N, M]
    losses = -F.logsigmoid(torch.where(positive, logits, -logits))  # [N, M]
    return losses.sum() / positive.sum().clamp(min=1)
