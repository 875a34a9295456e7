"""Stage `evaluate`: the model on the test split, by task, slice and subset of modalities."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from tokenizers import Tokenizer

from components.common.figures import page, save
from components.common.files import read_json, write_json, write_text
from components.config.command import Stage, View
from components.data.assets import AssetTensors, load_assets
from components.data.tables import HISTORY, PREDICTIONS, RANKS, STEPS, read_table, write_table
from components.evaluate import measure, plots, zero_shot
from components.evaluate.predict import held_out, predict, subsets
from components.modalities.registry import MODALITIES, Modality
from components.model.folder import load_model
from components.model.multimodal import MultimodalModel
from components.tasks.labels import written
from components.tasks.task import Kind
from components.tasks.task_kinds import with_heads
from components.training.determinism import make_deterministic

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Evaluate the model on the test split: metrics, plots and one HTML report.",
    inputs={
        "model": "folder, the trained model",
        "samples": "Parquet, the samples",
        "retrieval": "JSON, the metrics of the align stage",
        "ranks": "Parquet, what each query of the retrieval tasks finds",
        "histories": "folder, metrics by epoch, a CSV a stage",
        "steps": "Parquet, what the train stage logged by step",
        **{f"{m}-tensors": f"folder, the tensor shard set of {m}" for m in MODALITIES},
        "text-encoder": "safetensors, the encoder of text that the align stage saw",
        "projections": "safetensors, the projections of the align stage",
        "embeddings": "safetensors, where the align stage put every asset",
    },
    outputs={
        "metrics": "JSON, metrics by task and subset of modalities, and by slice",
        "predictions": "Parquet, every prediction",
        "plots": "folder, the plots as PNG",
        "report": "HTML, all of it on one page",
    },
    params=("seed", "threads", "tasks", "ingest.slices", "evaluate"),
)

MISTAKES = 20  # listed in the report
TEMPLATE = Path(__file__).with_name("report.html.jinja")


def draw(
    predictions: pd.DataFrame,
    ranks: pd.DataFrame,
    metrics: dict,
    histories: dict,
    steps: pd.DataFrame,
    kinds: Mapping[str, Kind],
) -> dict[str, Figure]:
    """Every plot, by name."""
    figures = {}
    if metrics["accuracy"]:
        figures["accuracy_by_modalities"] = plots.subsets(metrics["accuracy"], metrics["ceiling"])
    for stage, table in histories.items():
        if len(table):
            figures[f"history_{stage}"] = plots.history(table, f"stage {stage}")
    if len(steps):
        figures["steps_train"] = plots.steps(steps, "stage train, by step")
    for task, kind in kinds.items():
        rows = predictions[predictions["task"] == task]
        if len(rows):
            name, plot = plots.PLOTS[type(kind)]
            title = f"{task}, every modality the sample has"
            figures[f"{name}_{task}"] = plot(rows, kind, title)
    for task, rows in ranks.groupby("task", sort=False):
        figures[f"found_{task}"] = plots.found(rows, f"{task}, on the test split")
    return figures


def fullest(predictions: pd.DataFrame) -> pd.DataFrame:
    """For each sample and task the prediction from the most modalities."""
    return predictions.drop_duplicates(["sample_id", "task"], keep="last")


def shown(metric: str, value: float) -> str:
    """A metric's value as the report shows it."""
    return written(metric, value).replace("%", " %")


def main_metrics(metrics: dict) -> dict[str, tuple[str, dict[str, float]]]:
    """For each task its main metric: the name, and the value by subset of modalities."""
    result: dict[str, tuple[str, dict[str, float]]] = {}
    for metric, by_task in metrics.items():
        for task, values in by_task.items():
            result.setdefault(task, (metric, values))
    return result


def searches(ranks: pd.DataFrame, found: dict) -> list[dict]:
    """A row of the report a retrieval task: queries, targets, and `measure.retrieval`'s figures."""
    return [
        {
            "task": task,
            "direction": next(iter(found["median_rank"][task])),
            "queries": len(rows),
            "targets": int(rows["targets"].iloc[0]),
            "values": [shown(m, v) for m, by_task in found.items() for v in by_task[task].values()],
        }
        for task, rows in ranks.groupby("task", sort=False)
    ]


def mistakes(best: pd.DataFrame, kinds: Mapping[str, Kind]) -> list[dict]:
    """The plainly wrong predictions, surest first, as a person reads them."""
    best = best.reset_index(drop=True)
    wrong = [rows[kinds[task].wrong(rows)] for task, rows in best.groupby("task")]
    rows = pd.concat(wrong or [best]).sort_index().sort_values("confidence", ascending=False)
    return [
        row | {"prediction": kinds[row["task"]].shown(row["prediction"])}
        for row in rows.head(MISTAKES).to_dict("records")
    ]


def by_prompts(
    arguments: argparse.Namespace,
    settings: View,
    model: MultimodalModel,
    tokenizer: Tokenizer,
    samples: pd.DataFrame,
    assets: Mapping[Modality, AssetTensors],
) -> dict[str, dict[str, dict[str, float]]]:
    """`zero_shot.measure` on the samples, if the settings have prompts."""
    if not (prompts := settings.evaluate.prompts):
        return {}
    files = (arguments.text_encoder, arguments.projections, arguments.embeddings)
    space = zero_shot.Space.of(model, tokenizer, *files)
    return zero_shot.measure(space, samples, assets, settings.tasks, prompts, model.kinds)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    model, tokenizer = load_model(arguments.model)
    learnt = model.config.learnt
    zero_shot.check(settings.evaluate.prompts, model.kinds, learnt)
    test = held_out(arguments.samples, learnt)
    assets = {m: load_assets(getattr(arguments, f"{m}_tensors")) for m in learnt}
    predictions = predict(model, test, assets, with_heads(settings.tasks))
    found = measure.metrics(predictions, model.kinds)
    ranks = read_table(arguments.ranks, RANKS)
    retrieved = measure.retrieval(ranks, settings.tasks)
    prompted = by_prompts(arguments, settings, model, tokenizer, test, assets)
    classified = predictions[predictions["task"].isin(found["accuracy"].keys())]
    metrics = (
        found
        | retrieved
        | prompted
        | {
            "ceiling": measure.ceiling(classified, test),
            "slices": measure.by_slice(predictions, test, settings.ingest_slices, model.kinds),
        }
    )
    best = fullest(predictions)
    histories = {
        path.stem: read_table(path, HISTORY) for path in sorted(arguments.histories.glob("*.csv"))
    }
    steps = read_table(arguments.steps, STEPS)
    figures = draw(best, ranks, metrics, histories, steps, model.kinds)
    paths = {name: arguments.plots / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        save(figure, paths[name])
    context = {
        **metrics,
        "others": {name: values for name, values in found.items() if name != "accuracy"},
        "main": main_metrics(found),
        "shown": shown,
        "samples": len(test),
        "fusion": model.config.model.fusion,
        "weights": f"{sum(p.numel() for p in model.parameters()):,}",
        "subsets": ["+".join(s) for s in subsets() if set(s) <= set(learnt)],
        "retrieval": read_json(arguments.retrieval),
        "retrieved": list(retrieved),
        "searches": searches(ranks, retrieved),
        "prompts": settings.evaluate.prompts,
        "prompted": prompted,
        "mistakes": mistakes(best, model.kinds),
    }
    write_table(arguments.predictions, predictions, PREDICTIONS)
    write_text(arguments.report, page(TEMPLATE, context, paths))
    write_json(arguments.metrics, metrics)
    for metric, by_task in (found | retrieved | prompted).items():
        for task, values in by_task.items():
            for subset, value in values.items():
                log.info("%-14s %-18s %-12s %.4f", task, subset, metric, value)


if __name__ == "__main__":
    STAGE.run(work)
