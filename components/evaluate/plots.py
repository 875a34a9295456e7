"""Plots as PNG files, for MLflow and for the report."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import GRID, panels
from components.tasks.classification.head import Classification
from components.tasks.generation.head import Generation
from components.tasks.multilabel.head import Multilabel
from components.tasks.regression.head import Regression
from components.tasks.task import Kind
from components.tasks.vqa.head import Vqa
from components.training.downsample import spans

BARS = 30  # at most in a plot of classes or answers
SPANS = 60  # of steps, at most, a dot each


def history(table: pd.DataFrame, title: str) -> Figure:
    """One panel a series (loss, accuracy, …) with a line a task, by epoch."""
    return _lines(table.assign(at=table["epoch"] + 1), "epoch", title)


def steps(table: pd.DataFrame, title: str) -> Figure:
    """The same by step: losses, and whatever else the training stage logs of each."""
    return _lines(spans(table, SPANS).rename(columns={"step": "at"}), "step", title)


def _lines(table: pd.DataFrame, unit: str, title: str) -> Figure:
    names = list(table["series"].unique())
    figure, axes = panels(len(names), 4.2, 3.2)
    for axis, name in zip(axes, names, strict=True):
        for task, rows in table[table["series"] == name].groupby("task", sort=False):
            axis.plot(rows["at"], rows["value"], marker=".", label=task)
        axis.set(title=name, xlabel=unit, ylabel=name.split(" (")[0])
        axis.grid(**GRID)
        axis.legend(fontsize="small")
        if name == "loss":
            axis.set_yscale("log")
    figure.suptitle(title)
    return figure


def confusion(predictions: pd.DataFrame, kind: Classification, title: str) -> Figure:
    """How often each true class (row) got each predicted one (column), as a share of the row."""
    classes = kind.classes
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


def precisions(predictions: pd.DataFrame, kind: Multilabel, title: str) -> Figure:
    """Average precision of the classes, the best first; the worst where there are many."""
    found = pd.Series(kind.average_precisions(predictions), dtype="float64")
    found = found.sort_values(ascending=False, kind="stable")
    return bars(found.tail(BARS), title, "average precision")


def scatter(predictions: pd.DataFrame, kind: Regression, title: str) -> Figure:
    """Predicted against true numbers; on the line they agree."""
    targets = predictions["target"].astype("float64")
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.scatter(targets, predictions["prediction"].astype("float64"), s=8, alpha=0.5)
    axis.axline((targets.mean(), targets.mean()), slope=1, color="black", linewidth=0.8)
    axis.set(title=title, xlabel="true", ylabel="predicted")
    axis.grid(**GRID)
    return figure


def answers(predictions: pd.DataFrame, kind: Vqa, title: str) -> Figure:
    """Accuracy of the answers that the model gives most often."""
    scores = kind.scores(predictions).groupby(predictions["prediction"])
    often = scores.size().sort_values(ascending=False, kind="stable").head(BARS).index
    return bars(scores.mean()[often], title, "accuracy where this is the answer")


def likeness(predictions: pd.DataFrame, kind: Generation, title: str) -> Figure:
    """How much of the texts is right: their ROUGE-L."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.hist(kind.scores(predictions), bins=np.linspace(0, 1, 21))
    axis.set(title=title, xlim=(0, 1), xlabel="ROUGE-L of a text", ylabel="texts")
    axis.grid(**GRID)
    return figure


def bars(values: pd.Series, title: str, label: str) -> Figure:
    """A bar from 0 to 1 for each value, named by the index."""
    figure = Figure(figsize=(5.6, 1.4 + 0.22 * len(values)), layout="constrained")
    axis = figure.subplots()
    axis.barh(range(len(values)), values.to_numpy(), color="tab:blue")
    axis.set_yticks(range(len(values)), values.index)
    axis.invert_yaxis()
    axis.set(title=title, xlim=(0, 1.02), xlabel=label)
    axis.grid(axis="x", **GRID)
    return figure


def found(ranks: pd.DataFrame, title: str) -> Figure:
    """The share of the queries that have a right asset among the first k of a retrieval task.

    Args:
        ranks: a table as `RANKS`, of one task.
        title: of the plot.
    """
    targets = int(ranks["targets"].iloc[0])
    shares = ranks["rank"].value_counts(normalize=True).sort_index().cumsum()
    shares = shares.reindex(sorted({1, *shares.index, targets}), method="ffill").fillna(0.0)
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.step(shares.index, shares, where="post", marker=".", label=f"{len(ranks):,} queries")
    axis.axvline(ranks["rank"].median(), color="black", linestyle=":", label="median rank")
    axis.set_xscale("log")
    axis.set(title=title, xlim=(0.9, 1.1 * targets), ylim=(0, 1.02))
    axis.set(xlabel=f"first k of {targets:,} targets", ylabel="share of the queries answered")
    axis.grid(**GRID)
    axis.legend(fontsize="small", loc="lower right")
    return figure


PLOTS: dict[type[Kind], tuple[str, Callable[[pd.DataFrame, Kind, str], Figure]]] = {
    Classification: ("confusion", confusion),
    Multilabel: ("precision", precisions),
    Regression: ("predicted", scatter),
    Vqa: ("answers", answers),
    Generation: ("likeness", likeness),
}


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
