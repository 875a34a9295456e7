"""Answers of several people: a sigmoid an answer and binary cross-entropy against soft scores."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.tasks.task import Answers, Kind, average_sigmoids
from components.tasks.vqa.answers import normalise, score
from components.tasks.vqa.labels import AnswerLabels


class Vqa(AnswerLabels, Kind):
    """Soft scores of the answers given (Teney et al. 2018); all others have the score 0.

    Targets are float [B, K, 2]: pairs of class and score, filled up with pairs of score 0; NaN
    where unknown. A score for each of some thousand classes would take gigabytes.
    """

    ANSWER, CONFIDENCE = str, float
    QUALITY = "soft_score"

    @property
    def names(self) -> Sequence[str]:
        """See `Kind`: the answers."""
        return self.classes

    def targets(self, labels: pd.Series) -> Tensor:
        """See `Kind`."""
        known = torch.tensor(labels.notna().to_numpy())
        scores = [
            self._scores(label) if there else []
            for label, there in zip(labels, known.tolist(), strict=True)
        ]
        width = max(1, *map(len, scores), 1)
        filled = [pairs + [(0, 0.0)] * (width - len(pairs)) for pairs in scores]
        return self.hide(torch.tensor(filled).view(-1, width, 2), ~known)

    def _scores(self, given) -> list[tuple[int, float]]:
        counts = Counter(map(normalise, given))
        return [(self.codes[a], score(n)) for a, n in counts.items() if a in self.codes]

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """See `Kind`: binary cross-entropy, summed over the classes."""
        known = Vqa.known(targets)
        classes, scores = targets[known].unbind(-1)  # [n, K] each
        said = logits[known].gather(1, classes.long())
        losses = F.softplus(logits[known]).sum(1) - (scores * said).sum(1)
        return losses.mean().nan_to_num()

    @staticmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """See `Kind`: the mean score of the best answer."""
        classes, scores = targets.unbind(-1)
        return float((scores * (classes == logits.argmax(1, keepdim=True))).sum(1).mean())

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        """See `Kind`."""
        return average_sigmoids(logits, votes)

    def predict(self, logits: Tensor) -> Answers:
        """See `Kind`: the best answer."""
        confidence, best = logits.sigmoid().max(1)
        return Answers([self.classes[code] for code in best.tolist()], confidence.double().tolist())

    def record(self, logits: Tensor) -> Answers:
        """See `Kind`: an answer is written as it is; only labels are lists."""
        return self.predict(logits)
