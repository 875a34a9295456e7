"""Show the robustness of an evaluation as a Markdown table and as plots."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from components.common import command_line
from components.common.errors import InputError, nearest
from components.common.figures import add_grid, panels, save
from components.common.metrics import Metric
from components.evaluate.evaluation.results import Evaluation
from components.evaluate.robustness.measure import EVERYTHING
from components.modalities.corruption import SEVERITIES
from components.stage.stage import exit_codes


def main() -> None:
    """Parse the command line and show what it asks for."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--evaluation", type=Path, required=True, help="folder of an evaluation")
    parser.add_argument("--task", required=True, help="its name in params.yaml")
    parser.add_argument("--subset", default=EVERYTHING, help="of modalities, as image-text")
    parser.add_argument("--plot", type=Path, help="PNG file to draw the curves to")
    arguments = parser.parse_args()
    with exit_codes():
        show(Evaluation(arguments.evaluation), arguments.task, arguments.subset, arguments.plot)


def show(evaluation: Evaluation, task: str, subset: str, plot: Path | None) -> None:
    """Print the table of a task and subset, and draw the plot.

    Raises:
        InputError: there is no evaluation, or it has no figures of that task and subset.
    """
    table = evaluation.robustness
    for column, wanted in (("task", task), ("subset", subset)):
        if wanted not in (valid := list(table[column].unique())):
            raise InputError(f"--{column}: found {wanted!r}. {nearest(wanted, valid)}")
        table = table[table[column] == wanted]
    print(*markdown(table, evaluation.figures.metrics[table["metric"].iloc[0]]), sep="\n")
    if plot:
        save(curves(table, evaluation.figures.split), plot)


def markdown(rows: pd.DataFrame, metric: Metric) -> Iterator[str]:
    """Yield the lines of a table of one task's and subset's rows, a line per corruption."""
    yield f"| {metric.name} | clean | {' | '.join(map(str, SEVERITIES))} | mean |"
    yield "|---|" + (len(SEVERITIES) + 2) * "---:|"
    for name, found in rows.groupby("corruption", sort=False):
        values = found.set_index("severity")["corrupted"].reindex(SEVERITIES)
        cells = [found["clean"].iloc[0], *values, values.mean()]
        shown = ["" if pd.isna(cell) else metric.format(float(cell)) for cell in cells]
        yield f"| {name} | {' | '.join(shown)} |"


def curves(rows: pd.DataFrame, split: str) -> Figure:
    """Plot one task's and subset's metric by severity: a panel per group, a line per corruption."""
    groups = list(rows.groupby("group", sort=False))
    figure, axes = panels(len(groups), 5.2, 3.6)
    for axis, (group, found) in zip(axes, groups, strict=True):
        for name, line in found.groupby("corruption", sort=False):
            axis.plot(line["severity"], line["corrupted"], marker=".", label=name)
        axis.axhline(found["clean"].max(), color="black", linestyle=":", label="clean")
        axis.set(title=group, xlabel="severity", ylabel=found["metric"].iloc[0], xticks=SEVERITIES)
        add_grid(axis)
        axis.legend(fontsize="x-small")
    task, subset = rows[["task", "subset"]].iloc[0]
    figure.suptitle(f"{task}, {subset}, on the corrupted {split} split")
    return figure


if __name__ == "__main__":
    main()
