"""A number: squared error, in standard deviations."""

from collections.abc import Mapping, Sequence
from typing import Self

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.tasks.regression.labels import NumberLabels
from components.tasks.task import Answers, Kind


class Regression(NumberLabels, Kind):
    """Targets are float [B]: standard deviations from the mean, NaN where unknown."""

    ANSWER, CONFIDENCE = float, None
    QUALITY = "absolute_error"
    SQUARED = True

    @property
    def names(self) -> Sequence[str]:
        """See `Kind`: one number."""
        return ["number"]

    def inherit(
        self, fresh: Mapping[str, Tensor], known: Self, taught: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """See `Kind`: σ·z + μ stays what it was, though both have changed."""
        scale, shift = known.deviation / self.deviation, (known.mean - self.mean) / self.deviation
        return {"weight": taught["weight"] * scale, "bias": taught["bias"] * scale + shift}

    def targets(self, labels: pd.Series) -> Tensor:
        """See `Kind`."""
        numbers = labels.astype("float64").to_numpy()
        return torch.tensor((numbers - self.mean) / self.deviation, dtype=torch.float32)

    @staticmethod
    def loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """See `Kind`: squared error."""
        known = Regression.known(targets)
        return F.mse_loss(logits[known, 0], targets[known]).nan_to_num()

    @staticmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """See `Kind`: mean absolute error in standard deviations."""
        return float((logits[:, 0] - targets).abs().mean())

    @staticmethod
    def average(logits: Tensor, votes: Tensor) -> Tensor:
        """See `Kind`: the mean number."""
        return logits.masked_fill(~votes[..., None], 0.0).sum(1) / votes.sum(1, keepdim=True)

    @classmethod
    def progress(cls, quality: float, goal: float | None) -> float:
        """See `Kind`; the way starts at an error of 1, about that of always saying the mean."""
        return min(1.0, max(0.0, 1.0 - quality) / (1.0 - (goal or 0.0)))

    def predict(self, logits: Tensor) -> Answers:
        """See `Kind`: the number in the label's own unit."""
        numbers = logits[:, 0].double() * self.deviation + self.mean
        return Answers(numbers.tolist(), None)
