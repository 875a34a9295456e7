"""Metrics of classification."""

import numpy as np
import pandas as pd

from components.common.metrics import Metric
from components.tasks.metrics import MeanMetrics


class ClassificationMetrics(MeanMetrics):
    """The fraction of the predictions that are right, and the mean of the F1 of the classes."""

    DEFINITIONS = (Metric("accuracy", primary=True), Metric("macro_f1"))
    HAS_CEILING = True

    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        return super().compute(rows) | {"macro_f1": macro_f1(rows["target"], rows["prediction"])}

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        return (rows["target"] == rows["prediction"]).astype(float)


def macro_f1(targets: pd.Series, predictions: pd.Series) -> float:
    """Return the mean F1 of the classes that are true or predicted, as scikit-learn has it."""
    classes = [*pd.unique(pd.concat([targets, predictions]))]
    right, true, predicted = (
        found.value_counts().reindex(classes, fill_value=0).to_numpy()
        for found in (targets[targets == predictions], targets, predictions)
    )
    return float(np.mean(2 * right / (true + predicted)))


METRICS = ClassificationMetrics
