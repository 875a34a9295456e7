"""The evaluation report: plots, and one HTML page."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import page, save_all
from components.common.files import write_text
from components.common.metrics import SLICES, Figures
from components.data.samples import subset_name
from components.data.subsets import subsets
from components.evaluate import plots
from components.evaluate.baselines import ABOVE, BASELINES_KEY, BesideBaseline
from components.evaluate.measure import CEILING, TasksMetrics, most_modalities
from components.evaluate.zero_shot import ACCURACY, MAJORITY, Prompts
from components.model.multimodal import MultimodalModel
from components.tasks.registry import plot_of
from components.tasks.retrieval.metrics import RETRIEVAL_METRICS
from components.tasks.retrieval.plot import plot_ranks
from components.training.downsample import downsample
from components.training.overfitting import TRAINING, warning

MAX_MISTAKES = 20
MAX_POINTS = 60  # per line in plots of steps
NO_TABLE = (ACCURACY, ABOVE)  # metrics that have a section
TEMPLATE = Path(__file__).with_name("report.html.jinja")

Fits = Mapping[str, Mapping[str, Mapping[str, float]]]  # task → modality → `Fit` as JSON


@dataclass(frozen=True)
class Results:
    """What the report shows."""

    model: MultimodalModel
    samples: int  # that were held out
    figures: Figures
    predictions: pd.DataFrame  # as `PREDICTIONS`
    metrics: TasksMetrics
    ranks: pd.DataFrame  # of the retrieval tasks, as `RANKS`
    alignment: Mapping[str, Any]  # content of the align stage's file of figures
    histories: Mapping[str, pd.DataFrame]  # by stage, as `HISTORY`
    steps: pd.DataFrame  # of joint training, as `STEPS`
    prompts: Prompts  # for zero-shot classification
    beside: Sequence[BesideBaseline]
    p_values: Sequence[float]  # of the model being better than each of them
    fits: Fits  # what baselines learnt from


def write_report(results: Results, plots_folder: Path, path: Path, workers: int) -> None:
    """Write every plot, in some worker processes, and the page."""
    paths = save_all(draw(results), plots_folder, workers)
    write_text(path, page(TEMPLATE, context(results), paths))


def draw(results: Results) -> dict[str, Figure]:
    """Return every plot by name."""
    drawn, content, split = {}, results.figures.content, results.figures.split
    if ceilings := content[CEILING]:
        limited = {task: content[results.metrics[task].primary().name][task] for task in ceilings}
        strongest = {(row.task, row.subset): row.values[1] for row in results.beside}
        drawn["accuracy_by_modalities"] = plots.by_modalities(limited, ceilings, split, strongest)
    for stage, table in results.histories.items():
        if len(table):
            by_epoch = table[~table["series"].str.startswith(TRAINING)]
            counted = by_epoch.assign(epoch=by_epoch["epoch"] + 1)
            drawn[f"history_{stage}"] = plots.training(counted, "epoch", f"stage {stage}")
    if len(results.steps):
        steps = downsample(results.steps, MAX_POINTS)
        drawn["steps_train"] = plots.training(steps, "step", "stage train, by step")
    best = most_modalities(results.predictions)
    for task, config in results.model.config.tasks.items():
        rows, part = best[best["task"] == task], plot_of(config.kind)
        if len(rows):
            title = f"{task}, with all modalities of a sample"
            drawn[f"{part.NAME}_{task}"] = part.plot(rows, results.model.tasks[task], title)
    for task, rows in results.ranks.groupby("task", sort=False):
        drawn[f"ranks_{task}"] = plot_ranks(rows, f"{task}, on the {split} split")
    return drawn


def context(results: Results) -> dict[str, Any]:
    """Return what the template shows."""
    model = results.model
    return {
        "split": results.figures.split,
        "samples": results.samples,
        "fusion": model.config.model.fusion.kind,
        "weights": f"{sum(p.numel() for p in model.parameters()):,}",
        "subsets": list(map(subset_name, subsets(model.config.modalities))),
        "tables": metric_tables(results),
        "slices": slice_tables(results),
        "retrieval_metrics": RETRIEVAL_METRICS,
        "retrieval": retrieval_rows(results),
        "alignment": results.alignment,
        "zero_shot": zero_shot_rows(results),
        "beside": baseline_rows(results),
        "baselines": baseline_tables(results),
        "parts": [
            f"{task}, {m}: {fit['examples']:,} of {fit['of']:,}"
            for task, of in results.fits.items()
            for m, fit in of.items()
            if fit["examples"] < fit["of"]
        ],
        "overfitting": list(filter(None, starmap(warning, results.histories.items()))),
        "mistakes": mistakes(most_modalities(results.predictions), results.metrics),
    }


def metric_tables(results: Results) -> list[dict[str, Any]]:
    """Return one table per metric of the heads: task → subset → value, and the data's limit."""
    figures, ceilings = results.figures, results.figures.content[CEILING]
    tables = []
    for name, tasks in figures.tables():
        metric = figures.metrics[name]
        rows = {task: values for task, values in tasks.items() if task in results.metrics}
        if rows and metric not in NO_TABLE:
            limits = {t: ceilings[t] for t in rows if metric.primary and t in ceilings}
            tables.append({"metric": metric, "rows": rows, "limits": limits})
    return tables


def slice_tables(results: Results) -> list[dict[str, Any]]:
    """Return one table per task and column: value of the column → subset → primary metric."""
    return [
        {"task": task, "metric": results.metrics[task].primary(), "column": column, "rows": values}
        for task, columns in results.figures.content[SLICES].items()
        for column, values in columns.items()
    ]


def retrieval_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per retrieval task."""
    rows, content = [], results.figures.content
    for task, ranks in results.ranks.groupby("task", sort=False):
        (direction,) = content[RETRIEVAL_METRICS[0].name][task]
        row = {
            "task": task,
            "direction": direction,
            "queries": f"{len(ranks):,}",
            "targets": f"{int(ranks['targets'].iloc[0]):,}",
            "values": [m.format(content[m.name][task][direction]) for m in RETRIEVAL_METRICS],
        }
        rows.append(row)
    return rows


def zero_shot_rows(results: Results) -> list[dict[str, str]]:
    """Return one row per task and modality that prompts classify."""
    content = results.figures.content
    return [
        {
            "task": task,
            "modality": m,
            "accuracy": ACCURACY.format(value),
            "majority": ACCURACY.format(content[MAJORITY][task][m]),
            "prompts": "; ".join(results.prompts[task].templates),
        }
        for task, values in content.get(ACCURACY.name, {}).items()
        for m, value in values.items()
    ]


def baseline_rows(results: Results) -> list[dict[str, str]]:
    """Return one row per task and subset, the model beside the strongest baseline."""
    return [
        {
            "task": row.task,
            "subset": row.subset,
            "samples": f"{len(row.sample_ids):,}",
            "model": row.metric.format(row.values[0]),
            "value": row.metric.format(row.values[1]),
            "baseline": row.baseline,
            "above": row.metric.format(row.above),
            "p": f"{p:.2g}",
        }
        for row, p in zip(results.beside, results.p_values, strict=True)
    ]


def baseline_tables(results: Results) -> list[dict[str, Any]]:
    """Return one table per task: baseline → its primary metric on the test split."""
    tables = []
    for task, values in results.figures.content.get(BASELINES_KEY, {}).items():
        metric = results.metrics[task].primary()
        rows = {name: metric.format(value) for name, value in values.items()}
        tables.append({"task": task, "metric": metric, "rows": rows})
    return tables


def mistakes(best: pd.DataFrame, metrics: TasksMetrics) -> list[dict[Hashable, Any]]:
    """Return the wrong predictions, most confident first, as a person reads them."""
    best = best.reset_index(drop=True)
    wrong = [rows[metrics[str(task)].is_wrong(rows)] for task, rows in best.groupby("task")]
    rows = pd.concat(wrong or [best]).sort_index().sort_values("confidence", ascending=False)
    return [
        {**row, "prediction": metrics[row["task"]].display(row["prediction"])}
        for row in rows.head(MAX_MISTAKES).to_dict("records")
    ]
