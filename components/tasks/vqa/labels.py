"""Answers of several people to one question."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from components.common.errors import Problem
from components.tasks.classification.labels import ClassLabels
from components.tasks.label_parsing import words
from components.tasks.labels import Learner, Vocabulary
from components.tasks.vqa.answers import accuracy, normalise


@dataclass
class AnswerLearner(Learner):
    """The most frequent answers, as many as the task's setting `answers` says."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, label: Sequence[str]) -> None:
        """See `Learner`."""
        self.counts.update(filter(None, map(normalise, label)))

    def finish(self) -> Vocabulary:
        """See `Learner`; answers that are equally frequent are in the order of the alphabet."""
        ranked = sorted(self.counts, key=lambda answer: (-self.counts[answer], answer))
        if len(ranked) < 2:
            raise self._refuse(f"{len(ranked)} different answers", "at least 2 are needed")
        return {"classes": ranked[: self.task.answers]}


@dataclass(frozen=True)
class AnswerLabels(ClassLabels):
    """The answers that people gave, ten as a rule; the model gives one."""

    TYPE = pa.list_(pa.string())
    Learner = AnswerLearner
    COMPARED = "vqa_accuracy"

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> tuple[str, ...] | Problem | None:
        """See `Labels`; every answer, however often it is given."""
        return None if value is None else words(value) or None

    def problem(self, label: Sequence[str]) -> Problem | None:
        """See `Labels`: rare answers teach nothing, and count where the model is evaluated."""
        return None

    @staticmethod
    def written(label: Sequence[str]) -> str:
        """See `Labels`: a JSON list."""
        return json.dumps(list(label), ensure_ascii=False)

    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """The official accuracy (Antol et al. 2015)."""
        return {"vqa_accuracy": float(self.scores(rows).mean())}

    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """See `Labels`."""
        return self.scores(rows).to_numpy(), np.ones(len(rows))

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`: nobody said it."""
        return self.scores(rows) == 0

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        """float, a value a row: the official accuracy of each prediction."""
        pairs = zip(rows["prediction"], rows["target"], strict=True)
        return pd.Series([accuracy(said, json.loads(given)) for said, given in pairs], rows.index)
