"""What plots of several task kinds share."""

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid

MAX_BARS = 30  # in a plot of classes or answers


def bars(values: pd.Series, title: str, label: str) -> Figure:
    """Return a bar from 0 to 1 per value, named by the index."""
    figure = Figure(figsize=(5.6, 1.4 + 0.22 * len(values)), layout="constrained")
    axis = figure.subplots()
    axis.barh(range(len(values)), values.to_numpy(), color="tab:blue")
    axis.set_yticks(range(len(values)), values.index)
    axis.invert_yaxis()
    axis.set(title=title, xlim=(0, 1.02), xlabel=label)
    add_grid(axis, "x")
    return figure
