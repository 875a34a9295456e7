"""Show the robustness that an exam has found, as Markdown and as plots."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from components.common.errors import InputError, nearest
from components.common.figures import save
from components.data.tables import ROBUSTNESS, read_table
from components.evaluate.robustness.measure import EVERYTHING
from components.evaluate.robustness.plots import curves
from components.modalities.corruption import SEVERITIES
from components.tasks.labels import written


def markdown(rows: pd.DataFrame) -> Iterator[str]:
    """The lines of a table, a corruption a row, from what was measured of a task and a subset."""
    yield f"| {rows['metric'].iloc[0]} | clean | 1 | 2 | 3 | 4 | 5 | mean |"
    yield "|---|" + 7 * "---:|"
    for name, found in rows.groupby("corruption", sort=False):
        values = found.set_index("severity")["corrupted"].reindex(SEVERITIES)
        cells = [found["clean"].iloc[0], *values, values.mean()]
        shown = ["" if pd.isna(cell) else written(found["metric"].iloc[0], cell) for cell in cells]
        yield f"| {name} | {' | '.join(shown)} |"


def show(arguments: argparse.Namespace) -> None:
    """Print the table that was asked for, and draw the plot.

    Raises:
        InputError: there is no exam, or it has nothing of that task and subset.
    """
    table = read_table(arguments.exam / "robustness.parquet", ROBUSTNESS)
    for column, asked in (("task", arguments.task), ("subset", arguments.subset)):
        if asked not in (valid := list(table[column].unique())):
            raise InputError(f"--{column}: found {asked!r}. {nearest(asked, valid)}")
        table = table[table[column] == asked]
    print(*markdown(table), sep="\n")
    if arguments.plot:
        save(curves(table), arguments.plot)


def main() -> None:
    """Exit code 2 for a mistake in what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exam", type=Path, required=True, help="folder that an exam has left")
    parser.add_argument("--task", required=True, help="its name in params.yaml")
    parser.add_argument("--subset", default=EVERYTHING, help="of modalities, as image+text")
    parser.add_argument("--plot", type=Path, help="PNG file to draw the curves to")
    try:
        show(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
