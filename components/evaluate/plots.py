"""Plots of training and evaluation."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid, panels


def training(table: pd.DataFrame, time: str, title: str) -> Figure:
    """Plot a panel per series (loss, accuracy, …) with a line per task, by the column `time`."""
    names = list(table["series"].unique())
    figure, axes = panels(len(names), 4.2, 3.2)
    for axis, name in zip(axes, names, strict=True):
        for task, rows in table[table["series"] == name].groupby("task", sort=False):
            axis.plot(rows[time], rows["value"], marker=".", label=task)
        axis.set(title=name, xlabel=time, ylabel=name.split(" ")[0])
        add_grid(axis)
        axis.legend(fontsize="small")
        if name == "loss":
            axis.set_yscale("log")
    figure.suptitle(title)
    return figure


def by_modalities(
    values: Mapping[str, Mapping[str, float]],
    ceilings: Mapping[str, Mapping[str, float]],
    split: str,
    strongest: Mapping[tuple[str, str], float],
) -> Figure:
    """Plot accuracies by task and subset of modalities; ticks show the highest the data allows.

    `strongest` has the accuracy of a baseline, by task and subset.
    """
    figure, axes = panels(len(values), 4.2, 3.2)
    for axis, (task, accuracy) in zip(axes, values.items(), strict=True):
        places = range(len(accuracy))
        axis.barh(places, list(accuracy.values()), color="tab:blue", label="accuracy")
        limits = [ceilings[task][subset] for subset in accuracy]
        axis.plot(limits, places, "k|", markersize=14, label="highest the data allows")
        simple = [strongest.get((task, subset), float("nan")) for subset in accuracy]
        axis.plot(simple, places, "|", color="tab:red", markersize=14, label="strongest baseline")
        for place, value in zip(places, accuracy.values(), strict=True):
            axis.text(0.02, place, f"{value:.2%}", va="center", color="white", fontsize="small")
        axis.set_yticks(places, list(accuracy))
        axis.invert_yaxis()
        axis.set(title=task, xlim=(0, 1.02), xlabel=f"accuracy on the {split} split")
        add_grid(axis, "x")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
