"""Head of multi-label classification: a sigmoid and binary cross-entropy per class."""

import json
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.metrics import PROBABILITY_THRESHOLD, Metric
from components.layers.losses import micro_f1
from components.tasks.class_task import ClassTask
from components.tasks.multilabel.labels import ClassSetLabels
from components.tasks.task import Predictions, average_sigmoids


class Multilabel(ClassSetLabels, ClassTask):
    """Targets are float [B, classes]: 1 where a class is right, 0 elsewhere, NaN where unknown.

    Soft ones are between.
    """

    VALUE, CONFIDENCE = list[str], list[float]
    VALIDATION = Metric("f1")
    average = staticmethod(average_sigmoids)

    def targets(self, labels: pd.Series) -> Tensor:
        targets = np.full((len(labels), len(self.classes)), self.UNKNOWN, np.float32)
        for row, (label, there) in enumerate(zip(labels, labels.notna(), strict=True)):
            if there:
                targets[row] = 0
                targets[row, [self.codes[name] for name in label]] = 1
        return torch.from_numpy(targets)

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        known = Multilabel.known(targets)
        losses = F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="none")
        return losses.sum(1).mean().nan_to_num()

    @staticmethod
    def weighted_loss(
        logits: Tensor, targets: Tensor, smoothing: float = 0.0, *, weights: Tensor
    ) -> Tensor:
        known = Multilabel.known(targets)
        absent, present = weights.to(logits.device)  # [classes] each
        losses = F.binary_cross_entropy_with_logits(
            logits[known],
            targets[known],
            weight=absent,
            pos_weight=present / absent,
            reduction="none",
        )
        return losses.sum(1).mean().nan_to_num()

    def class_weights(self, targets: Tensor) -> Tensor:
        """Return the weights of each class where it is absent and where it is present: N / (2 · n).

        n of N samples are of the class, or not of it; see `Classification.class_weights`. A class
        of all samples, or of none, has the weight 1.
        """
        known = targets[self.known(targets)]
        present = known.sum(0)
        counts = torch.stack([len(known) - present, present])  # [2, classes]
        return torch.where((counts > 0).all(0), len(known) / (2 * counts), 1.0)

    def soft(self) -> Self:
        return self

    def members(self, targets: Tensor) -> Tensor:
        return targets > 0

    @staticmethod
    def validate(logits: Tensor, targets: Tensor) -> float:
        chosen, right = (p > PROBABILITY_THRESHOLD for p in (logits.sigmoid(), targets))
        return micro_f1(int((chosen & right).sum()), int(chosen.sum() + right.sum()))

    def predict(self, logits: Tensor) -> Predictions:
        """Return the classes that are more probable than not, the most probable first."""
        values, confidence = [], []
        for probabilities in logits.sigmoid().tolist():
            pairs = zip(self.classes, probabilities, strict=True)
            chosen = [(name, p) for name, p in pairs if p > PROBABILITY_THRESHOLD]
            chosen.sort(key=lambda pair: -pair[1])
            values.append([name for name, _ in chosen])
            confidence.append([p for _, p in chosen])
        return Predictions(values, confidence)

    def record(self, logits: Tensor) -> Predictions:
        """Return the probability of every class, as a JSON list."""
        rows = logits.sigmoid().tolist()
        return Predictions([json.dumps([float(f"{p:.6g}") for p in row]) for row in rows], None)


TASK = Multilabel
