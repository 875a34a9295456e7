"""Contract of what a head learns: targets, loss, predictions."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.metrics import Metric
from components.layers.transformer_shape import TransformerShape
from components.tasks.labels import Labels


@dataclass(frozen=True)
class Predictions:
    """Predictions for B samples."""

    values: list  # one per sample
    confidence: list | None  # the probability of each value, or those of its parts, if there is any


class Task(Labels):
    """A task as its head learns it.

    What a head returns is called logits: a tensor, or of a generative task a `DecoderInput`.
    """

    VALUE: ClassVar[Any]  # type of a prediction
    CONFIDENCE: ClassVar[Any]  # type of its confidence; None if it has none
    VALIDATION: ClassVar[Metric]  # what `validate` returns
    UNKNOWN: ClassVar[float] = math.nan  # fills the target of a sample whose label is unknown
    IS_GENERATIVE: ClassVar[bool] = False  # the head reads all tokens
    OUTPUT_TENSORS: ClassVar[tuple[str, ...]] = ("weight", "bias")  # have a row per output

    @property
    @abstractmethod
    def output_names(self) -> Sequence[str]:
        """Meaning of each output of the head, in order."""

    @property
    def outputs(self) -> int:
        """Number of outputs of the head."""
        return len(self.output_names)

    def head(self, shape: TransformerShape) -> nn.Module:
        """Return the head, by default a linear map of the readout: [B, width] → [B, outputs]."""
        return nn.Linear(shape.width, self.outputs)

    def inherit(
        self, fresh: Mapping[str, Tensor], known: Self, trained: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return weights of a trained head for this task, where they have the same meaning.

        `fresh` are those of a new head of this task; `trained` those of a head of `known`, the same
        kind of task with other labels.
        """
        places = {name: row for row, name in enumerate(known.output_names)}
        rows = [(row, places[n]) for row, n in enumerate(self.output_names) if n in places]
        new, old = torch.tensor(rows, dtype=torch.int64).view(-1, 2).T
        return {
            name: fresh[name].index_copy(0, new, trained[name][old])
            if name in self.OUTPUT_TENSORS
            else trained[name]
            for name in fresh
            if name in self.OUTPUT_TENSORS or fresh[name].shape == trained[name].shape
        }

    @abstractmethod
    def targets(self, labels: pd.Series) -> Tensor:
        """Return targets [B, …] of B labels; `UNKNOWN` where a label is null."""

    @staticmethod
    @abstractmethod
    def loss(logits: Any, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of the samples whose target is known; 0 if there is none.

        `smoothing` is label smoothing, where one class is right.
        """

    @staticmethod
    @abstractmethod
    def validate(logits: Any, targets: Tensor) -> float:
        """Return the validation metric; at least one target, all of them known."""

    @staticmethod
    @abstractmethod
    def average(logits: Any, votes: Tensor) -> Any:
        """Return the logits of the mean of several predictions, of probabilities if there are any.

        Args:
            logits: [B, M, outputs].
            votes: bool [B, M], which of them count; at least one per sample.
        """

    @staticmethod
    def pool(logits: Tensor, weights: Tensor) -> Tensor:
        """Return the logits of several weighted predictions together, of which all may be right.

        By default their weighted sum, a logarithmic opinion pool (Genest & Zidek 1986); one that is
        not there has the weight 0.

        Args:
            logits: [B, E, outputs].
            weights: [B, E], not negative.
        """
        return (weights[..., None] * logits).sum(1)

    @classmethod
    def progress(cls, value: float, goal: float | None) -> float:
        """Return the fraction of the way to a goal, by default 1, that a validation metric made."""
        return min(1.0, value / (1.0 if goal is None else goal))

    @abstractmethod
    def predict(self, logits: Any) -> Predictions:
        """Return predictions for a person, of the types `VALUE` and `CONFIDENCE`."""

    def record(self, logits: Any) -> Predictions:
        """Return predictions as strings that contain all that metrics need."""
        found = self.predict(logits)
        return Predictions(list(map(self.to_text, found.values)), found.confidence)

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        """Return which targets are known, bool [B]."""
        return ~targets[..., None].isnan().flatten(1).any(1)

    @classmethod
    def hide(cls, targets: Tensor, hidden: Tensor) -> Tensor:
        """Return the targets, unknown where `hidden` (bool [B]) is true."""
        return targets.masked_fill(hidden.view(-1, *[1] * (targets.ndim - 1)), cls.UNKNOWN)


def average_sigmoids(logits: Tensor, votes: Tensor) -> Tensor:
    """Return the logit of the mean of sigmoids, see `Task.average`: log Σ σ(x) − log Σ σ(−x)."""
    silent = ~votes[..., None]
    yes, no = (
        F.logsigmoid(x).masked_fill(silent, -torch.inf).logsumexp(1) for x in (logits, -logits)
    )
    return yes - no
