"""Head of regression: squared error in standard deviations."""

from collections.abc import Mapping, Sequence
from typing import Self

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.metrics import Metric
from components.tasks.regression.labels import NumberLabels
from components.tasks.task import Predictions, Task


class Regression(NumberLabels, Task):
    """Targets are float [B]: standard deviations from the mean, NaN where unknown."""

    VALUE, CONFIDENCE = float, None
    VALIDATION = Metric("absolute_error", higher_is_better=False, unit="standard deviations")

    @property
    def output_names(self) -> Sequence[str]:
        return ["number"]

    def inherit(
        self, fresh: Mapping[str, Tensor], known: Self, trained: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Rescale the weights, so that σ·z + μ stays the same with another σ and μ."""
        scale, shift = known.deviation / self.deviation, (known.mean - self.mean) / self.deviation
        return {"weight": trained["weight"] * scale, "bias": trained["bias"] * scale + shift}

    def targets(self, labels: pd.Series) -> Tensor:
        numbers = labels.astype("float64").to_numpy()
        return torch.tensor((numbers - self.mean) / self.deviation, dtype=torch.float32)

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        known = Regression.known(targets)
        return F.mse_loss(logits[known, 0], targets[known]).nan_to_num()

    @staticmethod
    def validate(logits: Tensor, targets: Tensor) -> float:
        return float((logits[:, 0] - targets).abs().mean())

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        return logits.masked_fill(~votes[..., None], 0.0).sum(1) / votes.sum(1, keepdim=True)

    @staticmethod
    def pool(logits: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted mean: sums of numbers mean nothing."""
        total = weights.sum(1, keepdim=True).clamp(min=1e-9)
        return (weights[..., None] * logits).sum(1) / total

    @classmethod
    def progress(cls, value: float, goal: float | None) -> float:
        """As `Task`; the way starts at an error of 1, about that of always predicting the mean."""
        return min(1.0, max(0.0, 1.0 - value) / (1.0 - (goal or 0.0)))

    def predict(self, logits: Tensor) -> Predictions:
        """Return the number in the unit of the label."""
        numbers = logits[:, 0].double() * self.deviation + self.mean
        return Predictions(numbers.tolist(), None)


TASK = Regression
