"""Any number of several classes: a sigmoid and binary cross-entropy a class."""

import json
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.tasks.multilabel.labels import THRESHOLD, ClassSetLabels
from components.tasks.task import Answers, Kind, average_sigmoids


class Multilabel(ClassSetLabels, Kind):
    """Targets are float [B, classes]: 1 where a class is right, 0 elsewhere, NaN where unknown."""

    ANSWER, CONFIDENCE = list[str], list[float]
    QUALITY = "f1"

    @property
    def names(self) -> Sequence[str]:
        """See `Kind`: the classes."""
        return self.classes

    def targets(self, labels: pd.Series) -> Tensor:
        """See `Kind`."""
        known = torch.tensor(labels.notna().to_numpy())
        places = [
            (row, self.codes[name])
            for row, (label, there) in enumerate(zip(labels, known.tolist(), strict=True))
            if there
            for name in label
        ]
        targets = torch.zeros(len(labels), len(self.classes))
        targets[tuple(torch.tensor(places, dtype=torch.int64).view(-1, 2).T)] = 1.0
        return self.hide(targets, ~known)

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """See `Kind`: binary cross-entropy, summed over the classes."""
        known = Multilabel.known(targets)
        losses = F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="none")
        return losses.sum(1).mean().nan_to_num()

    @staticmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """See `Kind`: F1 over all decisions at once."""
        chosen, right = logits.sigmoid() > THRESHOLD, targets > 0
        decisions = int(chosen.sum() + right.sum())
        return 2 * int((chosen & right).sum()) / decisions if decisions else 1.0

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        """See `Kind`."""
        return average_sigmoids(logits, votes)

    def predict(self, logits: Tensor) -> Answers:
        """See `Kind`: the classes that are more probable than not, the most probable first."""
        values, confidence = [], []
        for scores in logits.sigmoid().tolist():
            chosen = [(name, p) for name, p in zip(self.classes, scores, strict=True)
                      if p > THRESHOLD]  # fmt: skip
            chosen.sort(key=lambda pair: -pair[1])
            values.append([name for name, _ in chosen])
            confidence.append([p for _, p in chosen])
        return Answers(values, confidence)

    def record(self, logits: Tensor) -> Answers:
        """See `Kind`: the probability of every class, as a JSON list."""
        rows = logits.sigmoid().tolist()
        return Answers([json.dumps([float(f"{p:.6g}") for p in row]) for row in rows], None)
