"""Labels that are the answers of several people to one question."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from components.common.errors import Problem
from components.tasks.classification.labels import ClassLabels
from components.tasks.labels import SEPARATOR, Cell, LabelEncoder, Vocabulary, parse_words
from components.tasks.vqa.answers import normalise


@dataclass
class AnswerLabelEncoder(LabelEncoder):
    """The most frequent answers, as many as the setting says; equally frequent ones sorted."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, label: Sequence[str]) -> None:
        self.counts.update(filter(None, map(normalise, label)))

    def finish(self) -> Vocabulary:
        ranked = sorted(self.counts, key=lambda answer: (-self.counts[answer], answer))
        if len(ranked) < 2:
            raise self._refuse(f"{len(ranked)} different answers", "at least 2 are needed")
        return {"classes": ranked[: self.task.answers]}


@dataclass(frozen=True)
class AnswerLabels(ClassLabels):
    """The answers that people gave, usually ten; the model gives one."""

    TYPE = pa.list_(pa.string())
    Encoder = AnswerLabelEncoder

    @staticmethod
    def parse(value: Cell, separator: str = SEPARATOR) -> tuple[str, ...] | Problem | None:
        return parse_words(value, separator) or None

    @classmethod
    def parser(cls, task: Any) -> Callable[[Cell], tuple[str, ...] | Problem | None]:
        return partial(cls.parse, separator=task.separator)

    def problem(self, label: Sequence[str]) -> Problem | None:
        return None  # rare answers teach nothing, and count in evaluation


LABELS = AnswerLabels
