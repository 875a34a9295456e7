"""Plot of regression: predicted against true numbers."""

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid
from components.tasks.regression.labels import NumberLabels

NAME = "predicted"


def plot(rows: pd.DataFrame, labels: NumberLabels, title: str) -> Figure:
    """Plot predicted against true numbers; on the line they agree."""
    targets = rows["target"].astype("float64")
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.scatter(targets, rows["prediction"].astype("float64"), s=8, alpha=0.5)
    axis.axline((targets.mean(), targets.mean()), slope=1, color="black", linewidth=0.8)
    axis.set(title=title, xlabel="true", ylabel="predicted")
    add_grid(axis)
    return figure
