"""Plot of multi-label classification: average precision per class."""

import pandas as pd
from matplotlib.figure import Figure

from components.tasks.multilabel.labels import ClassSetLabels
from components.tasks.multilabel.metrics import MultilabelMetrics
from components.tasks.plot import MAX_BARS, bars

NAME = "precision"


def plot(rows: pd.DataFrame, labels: ClassSetLabels, title: str) -> Figure:
    """Plot the average precision of the classes, of many classes the worst."""
    found = pd.Series(MultilabelMetrics(labels).average_precisions(rows), dtype="float64")
    found = found.sort_values(ascending=False, kind="stable")
    return bars(found.tail(MAX_BARS), title, "average precision")
