"""Plot of visual question answering: accuracy per answer."""

import pandas as pd
from matplotlib.figure import Figure

from components.tasks.plot import MAX_BARS, bars
from components.tasks.vqa.labels import AnswerLabels
from components.tasks.vqa.metrics import VqaMetrics

NAME = "answers"


def plot(rows: pd.DataFrame, labels: AnswerLabels, title: str) -> Figure:
    """Plot the accuracy of the answers that the model gives most often."""
    scores = VqaMetrics(labels).scores(rows).groupby(rows["prediction"])
    often = scores.size().sort_values(ascending=False, kind="stable").head(MAX_BARS).index
    return bars(scores.mean()[often], title, "accuracy where this is the answer")
