"""Plot of classification: the confusion matrix."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from components.tasks.classification.labels import ClassLabels

NAME = "confusion"


def plot(rows: pd.DataFrame, labels: ClassLabels, title: str) -> Figure:
    """Plot how often each true class (row) got each prediction (column)."""
    classes = list(labels.classes)
    counts = pd.crosstab(rows["target"], rows["prediction"])
    counts = counts.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(3.2, 0.5 * len(classes) + 1.6)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(fractions, vmin=0, vmax=1, cmap="Blues")
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes, rotation=60, ha="right")
    axis.set_yticks(ticks, classes)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    for row, column in zip(*counts.nonzero(), strict=True):
        colour = "white" if fractions[row, column] > 0.5 else "black"
        text = axis.text(column, row, str(counts[row, column]), ha="center", va="center")
        text.set(fontsize="x-small", color=colour)
    figure.colorbar(image, label="fraction of the true class", shrink=0.8)
    return figure
