"""Head of visual question answering: a sigmoid per answer against soft scores."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from components.common.metrics import Metric
from components.layers.losses import sparse_binary_cross_entropy
from components.tasks.task import Predictions, Task, average_sigmoids
from components.tasks.vqa.answers import normalise, score
from components.tasks.vqa.labels import AnswerLabels


class Vqa(AnswerLabels, Task):
    """Soft scores of the answers given (Teney et al. 2018); all others have the score 0.

    Targets are float [B, K, 2]: pairs of class and score, padded with pairs of score 0; NaN where
    unknown. A score for each of some thousand classes would take gigabytes.
    """

    VALUE, CONFIDENCE = str, float
    VALIDATION = Metric("soft_score")
    average = staticmethod(average_sigmoids)

    def targets(self, labels: pd.Series) -> Tensor:
        known = torch.tensor(labels.notna().to_numpy())
        scores = [
            self._scores(label) if there else []
            for label, there in zip(labels, known.tolist(), strict=True)
        ]
        width = max([1, *map(len, scores)])
        padded = [pairs + [(0, 0.0)] * (width - len(pairs)) for pairs in scores]
        return self.hide(torch.tensor(padded).view(-1, width, 2), ~known)

    def _scores(self, given: Sequence[str]) -> list[tuple[int, float]]:
        counts = Counter(map(normalise, given))
        return [(self.codes[a], score(n)) for a, n in counts.items() if a in self.codes]

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        return sparse_binary_cross_entropy(logits, targets)

    @staticmethod
    def validate(logits: Tensor, targets: Tensor) -> float:
        classes, scores = targets.unbind(-1)
        return float((scores * (classes == logits.argmax(1, keepdim=True))).sum(1).mean())

    def predict(self, logits: Tensor) -> Predictions:
        confidence, best = logits.sigmoid().max(1)
        answers = [self.classes[code] for code in best.tolist()]
        return Predictions(answers, confidence.double().tolist())


TASK = Vqa
