"""The model card: what a person must know of a model before using it, from facts alone."""

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.common.files import read_json
from components.data.tables import PREDICTIONS, read_table
from components.modalities.registry import MODALITIES
from components.model.predictor import Predictor
from components.register.lineage import Lineage
from components.registry.naming import metric_name
from components.tasks.labels import written

TEMPLATE = Path(__file__).with_name("card.md.jinja")
Z = 1.959963984540054  # of a normal distribution: 95 % lie within ± Z
SETTINGS = ("seed", "threads", "align", "model", "train")  # those that a card shows
DESCRIPTION = 5000  # characters that MLflow's database has room for
REST = "\n\nThe rest is in `model_card.md` of the run.\n"


@dataclass(frozen=True)
class Score:
    """How good a task's answers are, from a subset of modalities.

    Attributes:
        task: its name.
        metric: the task's main one.
        subset: of modalities, as `image+text`.
        value: on the test split.
        count: of the samples; None where the metric is not of samples.
    """

    task: str
    metric: str
    subset: str
    value: float
    count: int | None

    @property
    def shown(self) -> str:
        """The value as people read it."""
        return written(self.metric, self.value)

    @property
    def interval(self) -> str:
        """Where 95 % of such tests have the true share: Wilson (1927); of other metrics none."""
        if self.metric != "accuracy" or not self.count:
            return "–"
        low, high = wilson(self.value, self.count)
        return f"{low:.2%} to {high:.2%}"


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `count`."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = share * (1 - share) / count + Z**2 / (4 * count**2)
    half = Z / (1 + Z**2 / count) * math.sqrt(spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def scores(metrics: Mapping[str, Any], predictions: pd.DataFrame) -> list[Score]:
    """The main metric of every task, by subset of modalities."""
    counts = predictions.groupby(["task", "subset"]).size()
    main: dict[str, tuple[str, Mapping[str, float]]] = {}
    for metric, by_task in metrics.items():
        if metric not in ("ceiling", "slices") and not metric.startswith("zero_shot"):
            for task, values in by_task.items():
                main.setdefault(task, (metric, values))
    return [
        Score(task, metric, subset, value, counts.get((task, subset)))
        for task, (metric, values) in main.items()
        for subset, value in values.items()
    ]


def fullest(found: list[Score]) -> list[Score]:
    """For each task the score from the most modalities."""
    return list({score.task: score for score in found}.values())


def tags(arguments: argparse.Namespace, lineage: Lineage) -> dict[str, str]:
    """What makes the versions in MLflow's table comparable at a glance."""
    metrics = read_json(arguments.metrics)
    best = fullest(scores(metrics, read_table(arguments.predictions, PREDICTIONS)))
    report = read_json(arguments.data_report)
    return {
        **{metric_name(f"{s.task} {s.metric}".replace("_", " ")): f"{s.value:.4f}" for s in best},
        "samples": str(sum(report["samples"].values())),
        "data": lineage.hashes.get(str(arguments.samples), "unknown")[:8],
        **lineage.tags(),
    }


def description(card: str) -> str:
    """As much of a card as MLflow's database has room for, in whole lines."""
    if len(card) <= DESCRIPTION:
        return card
    return card[: DESCRIPTION - len(REST)].rpartition("\n")[0] + REST


def card(
    arguments: argparse.Namespace, name: str, lineage: Lineage, predictor: Predictor, whole: bool
) -> str:
    """The card of a model as Markdown; the same files give the same card.

    Args:
        arguments: the stage's command line.
        name: of the registered model.
        lineage: what the model was made from.
        predictor: the model.
        whole: with every subset of modalities and the settings.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    model = predictor.model
    params = yaml.safe_load(arguments.params.read_text())
    found = scores(read_json(arguments.metrics), read_table(arguments.predictions, PREDICTIONS))
    settings = yaml.safe_dump({name: params[name] for name in SETTINGS}, sort_keys=False)
    return environment.get_template(TEMPLATE.name).render(
        name=name,
        scores=found if whole else fullest(found),
        tasks=model.config.tasks,
        learnt=model.config.learnt,
        missing=[m for m in MODALITIES if m not in model.config.learnt],
        encoders=list(encoders(params, model.config.learnt)),
        report=read_json(arguments.data_report),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        megabytes=sum(f.stat().st_size for f in arguments.model.rglob("*") if f.is_file()) / 1e6,
        fusion=model.config.model.fusion,
        settings=settings if whole else None,
        slices=params["ingest"]["slices"],
        source=params["ingest"]["source"],
        lineage=lineage,
        data=lineage.hashes.get(str(arguments.samples), "unknown"),
        samples=arguments.samples,
    )


def encoders(params: Mapping[str, Any], learnt: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Each modality's encoder, where its weights are from, and on which terms."""
    for modality in learnt:
        settings = params["features"][modality]
        origin, licence = origin_of(settings["encoder"], settings["pretrained"])
        yield {
            "modality": modality,
            "encoder": settings["encoder"],
            "origin": origin,
            "licence": licence,
            "mode": params["train"]["encoders"][modality],
        }


def origin_of(encoder: str, pretrained: str | None) -> tuple[str, str]:
    """Where an encoder's first weights are from, and their licence, as far as it is known."""
    if encoder.startswith("package:"):
        module = encoder.removeprefix("package:").split("/")[0].split(".")[0]
        package = next(iter(metadata.packages_distributions().get(module, [])), None)
        about = metadata.metadata(package) if package else {}
        licence = about.get("License-Expression") or about.get("License")
        return f"the package {package or module}", licence or "not said by the package"
    if pretrained:
        return f"the file {pretrained}", "not known here: that of the file"
    if "@" in encoder or "/" in encoder:
        return "the Hugging Face Hub", "not known here: see the model's page"
    return "taught here, from random weights", "that of the data"
