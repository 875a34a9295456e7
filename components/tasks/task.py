"""What every kind of task says about the head that learns it."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.model.settings import ModelSettings
from components.tasks.labels import PredictedLabels


@dataclass(frozen=True)
class Answers:
    """What the model says of B samples.

    Attributes:
        values: an answer a sample.
        confidence: of each answer its probability, or those of its parts; None if it has none.
    """

    values: list
    confidence: list | None


class Kind(PredictedLabels):
    """A task as its head learns it: on top of the labels, targets, loss and answers.

    Attributes:
        ANSWER: the type of an answer.
        CONFIDENCE: the type of an answer's confidence; None if it has none.
        QUALITY: the name of what `quality` gives.
        SQUARED: whether the loss is a squared error, else it is a cross-entropy.
        UNKNOWN: fills the target of a sample whose label is unknown.
        WRITES: whether the head reads all tokens and gives a `Draft` in place of logits.
        NAMED: the tensors of the head that have a row for each of `names`.
    """

    ANSWER: ClassVar[Any]
    CONFIDENCE: ClassVar[Any]
    QUALITY: ClassVar[str]
    SQUARED: ClassVar[bool] = False
    UNKNOWN: ClassVar[float] = math.nan
    WRITES: ClassVar[bool] = False
    NAMED: ClassVar[tuple[str, ...]] = ("weight", "bias")

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """What each number that the head gives is about, in their order."""

    @property
    def outputs(self) -> int:
        """How many numbers the head gives."""
        return len(self.names)

    def head(self, options: ModelSettings) -> nn.Module:
        """What learns the task: a linear map of the readout, [B, width] → [B, outputs]."""
        return nn.Linear(options.width, self.outputs)

    def inherit(
        self, fresh: Mapping[str, Tensor], known: Self, taught: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The weights of a head that has learnt other labels, where they mean the same here.

        Args:
            fresh: the weights of a head of this task.
            known: the same kind of task with the other labels.
            taught: the weights of its head.
        """
        places = {name: row for row, name in enumerate(known.names)}
        rows = [(row, places[name]) for row, name in enumerate(self.names) if name in places]
        new, old = torch.tensor(rows, dtype=torch.int64).view(-1, 2).T
        return {
            name: fresh[name].index_copy(0, new, taught[name][old])
            if name in self.NAMED
            else taught[name]
            for name in fresh
            if name in self.NAMED or fresh[name].shape == taught[name].shape
        }

    @abstractmethod
    def targets(self, labels: pd.Series) -> Tensor:
        """Targets [B, …] of B labels; `UNKNOWN` where the label is null."""

    @staticmethod
    @abstractmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean loss of the samples whose target is known; 0 if there is none.

        Args:
            logits: [B, outputs].
            targets: [B, …].
            smoothing: share of a label that is spread over all classes, where one is right.
        """

    @staticmethod
    @abstractmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """How good the logits are, for the history; at least one target, all of them known."""

    @staticmethod
    @abstractmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        """The logits of the mean of several answers, of their probabilities where they have any.

        Args:
            logits: [B, M, outputs].
            votes: bool [B, M], which of them count; at least one of a sample.
        """

    @classmethod
    def progress(cls, quality: float, goal: float | None) -> float:
        """How much of the way to `goal` has been made, 0 to 1; without one, to a quality of 1."""
        return min(1.0, quality / (1.0 if goal is None else goal))

    @classmethod
    def certainty(cls, logits: Tensor, targets: Tensor) -> Tensor:
        """The probability given to what is true, a scalar: the geometric mean over the samples.

        Args: as those of `quality`.
        """
        return torch.exp(-cls.loss(logits, targets))

    @abstractmethod
    def predict(self, logits: Tensor) -> Answers:
        """What a person reads: answers of the types `ANSWER` and `CONFIDENCE`."""

    def record(self, logits: Tensor) -> Answers:
        """The answers as strings, with all that `metrics` needs."""
        answers = self.predict(logits)
        return Answers([self.written(value) for value in answers.values], answers.confidence)

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        """bool [B]: which targets are known."""
        return ~targets[..., None].isnan().flatten(1).any(1)

    @classmethod
    def amount(cls, targets: Tensor) -> Tensor:
        """Over how many the loss of these targets is a mean, a scalar: those that are known."""
        return cls.known(targets).sum()

    @classmethod
    def hide(cls, targets: Tensor, hidden: Tensor) -> Tensor:
        """The targets, unknown where `hidden` (bool [B]) says so."""
        return targets.masked_fill(hidden.view(-1, *[1] * (targets.ndim - 1)), cls.UNKNOWN)


def average_sigmoids(logits: Tensor, votes: Tensor) -> Tensor:
    """The logit of the mean of sigmoids, see `Kind.average`: log Σ σ(x) − log Σ σ(−x)."""
    silent = ~votes[..., None]
    yes, no = (
        F.logsigmoid(x).masked_fill(silent, -torch.inf).logsumexp(1) for x in (logits, -logits)
    )
    return yes - no
