"""A log per step, made short enough to look at."""

import pandas as pd

TRAINED = "trained"  # series of the fraction of steps that trained each task


def downsample(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return at most `count` values per series and task of a `STEPS` table: means over spans.

    `step` becomes the first step of the span. Where a step does not train every task, the series
    `trained` is added: the fraction of the steps of the span that trained each task.
    """
    if not len(table):
        return table
    width = -(-(int(table["step"].max()) + 1) // count)
    first = table["step"] // width * width
    by = ["step", "series", "task"]
    means = table.assign(step=first).groupby(by, sort=False)["value"].mean().reset_index()
    losses = table[table["series"] == "loss"]
    trained = losses.assign(step=first).groupby(["step", "task"], sort=False).size()
    total = losses.assign(first=first).groupby("first")["step"].nunique()
    fractions = trained / total.reindex(trained.index.get_level_values("step")).to_numpy()
    if (fractions == 1).all():
        return means
    rows = fractions.rename("value").reset_index().assign(series=TRAINED)
    return pd.concat([means, rows[means.columns]], ignore_index=True)
