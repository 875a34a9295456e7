"""Robustness as a picture."""

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import GRID, panels


def curves(rows: pd.DataFrame) -> Figure:
    """The metric by severity: a panel a group of corruptions, a line a corruption.

    Args:
        rows: what `measure` gave of one task and one subset of modalities.
    """
    groups = list(rows.groupby("group", sort=False))
    figure, axes = panels(len(groups), 5.2, 3.6)
    for axis, (group, found) in zip(axes, groups, strict=True):
        for name, line in found.groupby("corruption", sort=False):
            axis.plot(line["severity"], line["corrupted"], marker=".", label=name)
        axis.axhline(found["clean"].max(), color="black", linestyle=":", label="clean")
        axis.set(title=group, xlabel="severity", ylabel=found["metric"].iloc[0], xticks=range(1, 6))
        axis.grid(**GRID)
        axis.legend(fontsize="x-small")
    task, subset = rows[["task", "subset"]].iloc[0]
    figure.suptitle(f"{task}, {subset}, on the corrupted test split")
    return figure
