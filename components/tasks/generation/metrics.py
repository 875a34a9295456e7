"""Metrics of text generation."""

import json

import pandas as pd

from components.common.metrics import Metric
from components.tasks.generation.text_metrics import Pair, bleu_4, cider, rouge_l, words
from components.tasks.metrics import MeanMetrics

WRONG_BELOW = 0.5  # ROUGE-L: less than half in common


class GenerationMetrics(MeanMetrics):
    """ROUGE-L, BLEU-4 and CIDEr-D.

    ROUGE-L is primary: it alone is a mean over texts to which other texts do not contribute. BLEU-4
    is undefined without reference texts of four words, CIDEr-D for a single text.
    """

    DEFINITIONS = (Metric("rouge_l", primary=True), Metric("bleu_4"), Metric("cider", unit="score"))

    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        pairs, scores = _pairs(rows), self.scores(rows).tolist()
        result = {"rouge_l": sum(scores) / len(scores)}
        if any(len(words(text)) >= 4 for pair in pairs for text in pair.references):
            result["bleu_4"] = bleu_4(pairs)
        if len(pairs) > 1:
            result["cider"] = cider(pairs)
        return result

    def is_wrong(self, rows: pd.DataFrame) -> pd.Series:
        return self.scores(rows) < WRONG_BELOW

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        return pd.Series(list(map(rouge_l, _pairs(rows))), rows.index, "float64")


def _pairs(rows: pd.DataFrame) -> list[Pair]:
    references = [tuple(json.loads(target)) for target in rows["target"]]
    return [Pair(*pair) for pair in zip(rows["prediction"], references, strict=True)]


METRICS = GenerationMetrics
