"""Stage `evaluate`: the model on the test split, by task, slice and subset of modalities."""

import argparse
import base64
import logging
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from components.config.command import Stage, View
from components.config.settings import MODALITIES
from components.evaluate import measure, plots
from components.evaluate.predict import predict, subsets
from components.model.base.assets import load_assets
from components.model.base.fit import make_deterministic
from components.model.folder import load_model
from components.store.errors import InputError
from components.store.files import read_json, write_json, write_text
from components.store.tables import HISTORY, PREDICTIONS, SAMPLES, read_table, write_table

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Evaluate the model on the test split: metrics, plots and one HTML report.",
    inputs={
        "model": "folder, the trained model",
        "samples": "Parquet, the samples",
        "retrieval": "JSON, the metrics of the align stage",
        "histories": "folder, metrics by epoch, a CSV a stage",
        **{f"{m}-tensors": f"folder, the tensor shard set of {m}" for m in MODALITIES},
    },
    outputs={
        "metrics": "JSON, accuracy by task and subset of modalities, and by slice",
        "predictions": "Parquet, every prediction",
        "plots": "folder, the plots as PNG",
        "report": "HTML, all of it on one page",
    },
    params=("seed", "threads", "tasks", "ingest.slices"),
)

MISTAKES = 20  # listed in the report


def draw(
    predictions: pd.DataFrame, metrics: dict, histories: dict, classes: dict[str, list[str]]
) -> dict[str, Figure]:
    """Every plot, by name."""
    figures = {}
    if metrics["accuracy"]:
        figures["accuracy_by_modalities"] = plots.subsets(metrics["accuracy"], metrics["ceiling"])
    for stage, table in histories.items():
        if len(table):
            figures[f"history_{stage}"] = plots.history(table, f"stage {stage}")
    for task, names in classes.items():
        rows = predictions[predictions["task"] == task]
        if len(rows):
            title = f"{task}, every modality the sample has"
            figures[f"confusion_{task}"] = plots.confusion(rows, names, title)
    return figures


def fullest(predictions: pd.DataFrame) -> pd.DataFrame:
    """For each sample and task the prediction from the most modalities."""
    return predictions.drop_duplicates(["sample_id", "task"], keep="last")


def render(context: dict, figures: dict[str, Path]) -> str:
    """The report as one HTML page that needs no other file."""
    page = Environment(loader=PackageLoader("components.evaluate", "."), autoescape=True)
    images = {name: base64.b64encode(path.read_bytes()).decode() for name, path in figures.items()}
    return page.get_template("report.html.jinja").render(context, plots=images)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    model, _ = load_model(arguments.model)
    samples = read_table(arguments.samples, SAMPLES)
    test = samples[samples["split"] == "test"]
    learnt = model.config.learnt
    if not test[[f"{m}_id" for m in learnt]].notna().any(axis=None):
        raise InputError(
            f"{arguments.samples} holds no sample of the test split with {' or '.join(learnt)}, "
            "which the model learnt from. See ingest.splits in params.yaml"
        )
    assets = {m: load_assets(getattr(arguments, f"{m}_tensors")) for m in learnt}
    predictions = predict(model, test, assets, settings.tasks)
    metrics = {
        "accuracy": measure.accuracy(predictions),
        "ceiling": measure.ceiling(predictions, test),
        "slices": measure.by_slice(predictions, test, settings.ingest_slices),
    }
    best = fullest(predictions)
    histories = {
        path.stem: read_table(path, HISTORY) for path in sorted(arguments.histories.glob("*.csv"))
    }
    figures = draw(best, metrics, histories, model.config.classes)
    paths = {name: arguments.plots / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        plots.save(figure, paths[name])
    wrong = best[best["target"] != best["prediction"]].sort_values("confidence", ascending=False)
    context = {
        **metrics,
        "samples": len(test),
        "fusion": model.config.model.fusion,
        "weights": f"{sum(p.numel() for p in model.parameters()):,}",
        "subsets": ["+".join(s) for s in subsets() if set(s) <= set(learnt)],
        "retrieval": read_json(arguments.retrieval),
        "mistakes": wrong.head(MISTAKES).to_dict("records"),
    }
    write_table(arguments.predictions, predictions, PREDICTIONS)
    write_text(arguments.report, render(context, paths))
    write_json(arguments.metrics, metrics)
    for task, values in metrics["accuracy"].items():
        for subset, value in values.items():
            log.info("%-14s %-18s %.4f", task, subset, value)


if __name__ == "__main__":
    STAGE.run(work)
