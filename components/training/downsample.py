"""The log of steps, short enough to look at."""

import pandas as pd


def spans(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """A table as `STEPS` of at most `count` values a series and task: means over spans of steps.

    `step` is then the first step of the span. Where a step does not train every task, the series
    `steps` is added: which share of the steps of the span each task got.
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
    shares = trained / total.reindex(trained.index.get_level_values("step")).to_numpy()
    if (shares == 1).all():
        return means
    rows = shares.rename("value").reset_index().assign(series="steps")
    return pd.concat([means, rows[means.columns]], ignore_index=True)
