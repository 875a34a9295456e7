"""Metrics of visual question answering."""

import json

import pandas as pd

from components.common.metrics import Metric
from components.tasks.metrics import MeanMetrics
from components.tasks.vqa.answers import accuracy


class VqaMetrics(MeanMetrics):
    """The official accuracy (Antol et al. 2015); an answer is wrong that nobody gave."""

    DEFINITIONS = (Metric("vqa_accuracy", primary=True),)

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        pairs = zip(rows["prediction"], rows["target"], strict=True)
        scores = [accuracy(predicted, json.loads(given)) for predicted, given in pairs]
        return pd.Series(scores, rows.index)


METRICS = VqaMetrics
