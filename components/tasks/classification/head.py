"""Head of classification: softmax and cross-entropy."""

import math

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.metrics import Metric
from components.data.assets import MISSING
from components.tasks.class_task import ClassTask
from components.tasks.classification.labels import ClassLabels
from components.tasks.task import Predictions


class Classification(ClassLabels, ClassTask):
    """Targets are int64 [B]: the class, -1 where unknown."""

    VALUE, CONFIDENCE = str, float
    VALIDATION = Metric("accuracy")
    UNKNOWN = MISSING

    def targets(self, labels: pd.Series) -> Tensor:
        codes = labels.map(self.codes).fillna(MISSING).astype("int64")  # unseen ones too
        return torch.tensor(codes.to_numpy())

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        losses = F.cross_entropy(logits, targets, ignore_index=MISSING, label_smoothing=smoothing)
        return losses.nan_to_num()  # 0 / 0 without a single label

    def soft(self) -> "SoftClassification":
        return SoftClassification(self.classes)

    @staticmethod
    def weighted_loss(
        logits: Tensor, targets: Tensor, smoothing: float = 0.0, *, weights: Tensor
    ) -> Tensor:
        known = targets != MISSING
        logits, targets = logits[known], targets[known]
        losses = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        return (weights.to(losses.device)[targets] * losses).mean().nan_to_num()

    def class_weights(self, targets: Tensor) -> Tensor:
        """Return N / (K · n) of each class, of which n of N samples are; K classes occur.

        As scikit-learn's "balanced", after King & Zeng 2001, "Logistic regression in rare events
        data".
        """
        return _balance(self.members(targets).sum(0))

    def members(self, targets: Tensor) -> Tensor:
        return targets[:, None] == torch.arange(len(self.classes))

    @staticmethod
    def validate(logits: Tensor, targets: Tensor) -> float:
        return float((logits.argmax(1) == targets).float().mean())

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        known = logits.log_softmax(-1).masked_fill(~votes[..., None], -torch.inf)
        return known.logsumexp(1) - votes.sum(1, keepdim=True).log()

    def predict(self, logits: Tensor) -> Predictions:
        confidence, best = logits.softmax(1).max(1)
        classes = [self.classes[code] for code in best.tolist()]
        return Predictions(classes, confidence.double().clamp(max=1.0).tolist())

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        return targets != MISSING


class SoftClassification(Classification):
    """Targets are float [B, classes]: how often a sample is of each; NaN where unknown."""

    UNKNOWN = math.nan

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        weights = logits.new_ones(logits.shape[1])
        return SoftClassification.weighted_loss(logits, targets, smoothing, weights=weights)

    @staticmethod
    def weighted_loss(
        logits: Tensor, targets: Tensor, smoothing: float = 0.0, *, weights: Tensor
    ) -> Tensor:
        known = SoftClassification.known(targets)
        log = logits[known].log_softmax(1)
        losses = -torch.lerp(log, log.mean(1, keepdim=True), smoothing)  # of each class, if right
        return (targets[known] * weights.to(losses.device) * losses).sum(1).mean().nan_to_num()

    def class_weights(self, targets: Tensor) -> Tensor:
        return _balance(targets.nansum(0))

    def members(self, targets: Tensor) -> Tensor:
        return targets > 0

    @staticmethod
    def validate(logits: Tensor, targets: Tensor) -> float:
        found = targets.gather(1, logits.argmax(1, keepdim=True))
        return float((found == targets.amax(1, keepdim=True)).float().mean())

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        return ~targets.isnan().any(1)


def _balance(counts: Tensor) -> Tensor:
    """Return the weights of classes, [classes], from how many samples are of each."""
    return counts.sum() / ((counts > 0).sum() * torch.where(counts > 0, counts, 1))


TASK = Classification
