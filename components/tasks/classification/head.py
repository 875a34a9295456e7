"""Head of classification: softmax and cross-entropy."""

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
        counts = self.members(targets).sum(0)  # [classes]
        return counts.sum() / ((counts > 0).sum() * counts.clamp(min=1))

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


TASK = Classification
