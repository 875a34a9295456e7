"""Metrics of classification."""

import pandas as pd

from components.common.metrics import Metric
from components.tasks.metrics import MeanMetrics


class ClassificationMetrics(MeanMetrics):
    """The fraction of the predictions that are right."""

    DEFINITIONS = (Metric("accuracy", primary=True),)
    HAS_CEILING = True

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        return (rows["target"] == rows["prediction"]).astype(float)


METRICS = ClassificationMetrics
