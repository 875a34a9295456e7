"""Plot of retrieval: the fraction of queries answered among the first k."""

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid


def plot_ranks(ranks: pd.DataFrame, title: str) -> Figure:
    """Plot the fraction of the queries with a right asset among the first k, from `RANKS`."""
    targets = int(ranks["targets"].iloc[0])
    fractions = ranks["rank"].value_counts(normalize=True).sort_index().cumsum()
    fractions = fractions.reindex(sorted({1, *fractions.index, targets}), method="ffill").fillna(
        0.0
    )
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.step(fractions.index, fractions, where="post", marker=".", label=f"{len(ranks):,} queries")
    axis.axvline(ranks["rank"].median(), color="black", linestyle=":", label="median rank")
    axis.set_xscale("log")
    axis.set(title=title, xlim=(0.9, 1.1 * targets), ylim=(0, 1.02))
    axis.set(xlabel=f"first k of {targets:,} targets", ylabel="fraction of the queries answered")
    add_grid(axis)
    axis.legend(fontsize="small", loc="lower right")
    return figure
