"""Plots as PNG files, for MLflow and for the report."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from components.store.figures import GRID, panels


def history(table: pd.DataFrame, title: str) -> Figure:
    """One panel a series (loss, accuracy, …) with a line a task, by epoch."""
    names = list(table["series"].unique())
    figure, axes = panels(len(names), 4.2, 3.2)
    for axis, name in zip(axes, names, strict=True):
        for task, rows in table[table["series"] == name].groupby("task", sort=False):
            axis.plot(rows["epoch"] + 1, rows["value"], marker=".", label=task)
        axis.set(title=name, xlabel="epoch", ylabel=name.split(" (")[0])
        axis.grid(**GRID)
        axis.legend(fontsize="small")
        if name == "loss":
            axis.set_yscale("log")
    figure.suptitle(title)
    return figure


def confusion(predictions: pd.DataFrame, classes: list[str], title: str) -> Figure:
    """How often each true class (row) got each predicted one (column), as a share of the row."""
    counts = pd.crosstab(predictions["target"], predictions["prediction"])
    counts = counts.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(3.2, 0.5 * len(classes) + 1.6)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes, rotation=60, ha="right")
    axis.set_yticks(ticks, classes)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    for row, column in zip(*counts.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = {"ha": "center", "va": "center", "fontsize": "x-small", "color": colour}
        axis.text(column, row, str(counts[row, column]), **text)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def subsets(
    accuracy: Mapping[str, Mapping[str, float]], ceiling: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Accuracy by subset of modalities, a panel a task; a tick where the data sets the limit."""
    figure, axes = panels(len(accuracy), 4.2, 3.2)
    for axis, (task, values) in zip(axes, accuracy.items(), strict=True):
        places = range(len(values))
        axis.barh(places, list(values.values()), color="tab:blue", label="accuracy")
        limits = [ceiling[task][subset] for subset in values]
        axis.plot(limits, places, "k|", markersize=14, label="most the data allows")
        for place, value in zip(places, values.values(), strict=True):
            axis.text(0.02, place, f"{value:.2%}", va="center", color="white", fontsize="small")
        axis.set_yticks(places, list(values))
        axis.invert_yaxis()
        axis.set(title=task, xlim=(0, 1.02), xlabel="accuracy on the test split")
        axis.grid(axis="x", **GRID)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
