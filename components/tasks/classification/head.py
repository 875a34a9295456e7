"""One of several classes: softmax and cross-entropy."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.data.assets import MISSING
from components.tasks.classification.labels import ClassLabels
from components.tasks.task import Answers, Kind


class Classification(ClassLabels, Kind):
    """Targets are int64 [B]: the class, -1 where unknown."""

    ANSWER, CONFIDENCE = str, float
    QUALITY = "accuracy"
    UNKNOWN = MISSING

    @property
    def names(self) -> Sequence[str]:
        """See `Kind`: the classes."""
        return self.classes

    def targets(self, labels: pd.Series) -> Tensor:
        """See `Kind`; a class that training never had is unknown too."""
        codes = labels.map(self.codes).fillna(MISSING).astype("int64")
        return torch.tensor(codes.to_numpy())

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """See `Kind`: cross-entropy."""
        losses = F.cross_entropy(logits, targets, ignore_index=MISSING, label_smoothing=smoothing)
        return losses.nan_to_num()  # not a single label: 0 / 0

    @staticmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """See `Kind`: the share that is right."""
        return float((logits.argmax(1) == targets).float().mean())

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        """See `Kind`: the logarithm of the mean probability."""
        known = logits.log_softmax(-1).masked_fill(~votes[..., None], -torch.inf)
        return known.logsumexp(1) - votes.sum(1, keepdim=True).log()

    @classmethod
    def certainty(cls, logits: Tensor, targets: Tensor) -> Tensor:
        """See `Kind`; here the arithmetic mean, as where it comes from (Peng et al. 2022)."""
        return logits.softmax(1).gather(1, targets[:, None]).mean()

    def predict(self, logits: Tensor) -> Answers:
        """See `Kind`: the most probable class."""
        confidence, best = logits.softmax(1).max(1)
        return Answers(
            [self.classes[code] for code in best.tolist()],
            confidence.double().clamp(max=1.0).tolist(),
        )

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        """See `Kind`."""
        return targets != MISSING
