"""Metrics of regression."""

import pandas as pd

from components.common.metrics import Metric
from components.tasks.metrics import MeanMetrics


class RegressionMetrics(MeanMetrics):
    """The mean absolute error in the unit of the label, and R², undefined if labels are equal."""

    DEFINITIONS = (
        Metric("mean_absolute_error", higher_is_better=False, unit="label", primary=True),
        Metric("r2", unit="score"),
    )

    def compute(self, rows: pd.DataFrame) -> dict[str, float]:
        targets = rows["target"].astype("float64").to_numpy()
        errors = self.scores(rows).to_numpy()
        result = {"mean_absolute_error": float(errors.mean())}
        if variation := float(((targets - targets.mean()) ** 2).sum()):
            result["r2"] = 1 - float((errors**2).sum()) / variation
        return result

    def is_wrong(self, rows: pd.DataFrame) -> pd.Series:
        return pd.Series(False, rows.index)  # a number is near or far, never plainly wrong

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        return (rows["target"].astype("float64") - rows["prediction"].astype("float64")).abs()


METRICS = RegressionMetrics
