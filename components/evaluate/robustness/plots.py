"""Robustness as a picture."""

import pandas as pd
from matplotlib.figure import Figure

from components.evaluate.robustness.measure import EVERYTHING
from components.store.figures import GRID, panels


def curves(table: pd.DataFrame, task: str, subset: str = EVERYTHING) -> Figure:
    """A task's metric by severity: a panel a group of corruptions, a line a corruption.

    Args:
        table: from `measure`.
        task: that is in it.
        subset: of modalities that are given, likewise.
    """
    rows = table[(table["task"] == task) & (table["subset"] == subset)]
    groups = list(rows.groupby("group", sort=False))
    figure, axes = panels(len(groups), 5.2, 3.6)
    for axis, (group, found) in zip(axes, groups, strict=True):
        for name, line in found.groupby("corruption", sort=False):
            axis.plot(line["severity"], line["corrupted"], marker=".", label=name)
        axis.axhline(found["clean"].max(), color="black", linestyle=":", label="clean")
        axis.set(title=group, xlabel="severity", ylabel=found["metric"].iloc[0], xticks=range(1, 6))
        axis.grid(**GRID)
        axis.legend(fontsize="x-small")
    figure.suptitle(f"{task}, {subset}, on the corrupted test split")
    return figure
