"""The model card: what to know of a model before using it, from facts alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pandas as pd
import yaml
from jinja2 import StrictUndefined, Template

from components.common.files import read_json
from components.common.metrics import Figures, Metric
from components.data.tables import read_table
from components.modalities.registry import MODALITIES
from components.model.predictor import Predictor
from components.register.lineage import Lineage
from components.register.settings import RegisterArguments
from components.registry.names import mlflow_name
from components.tasks.metrics import PREDICTIONS
from components.tasks.registry import metrics_of

TEMPLATE = Path(__file__).with_name("card.md.jinja")
SETTINGS = ("seed", "threads", "align", "model", "train")  # those that a card shows
MAX_DESCRIPTION = 5000  # characters that MLflow's database stores
CUT = "\n\nThe rest is in `model_card.md` of the run.\n"


@dataclass(frozen=True)
class Score:
    """The primary metric of a task, from a subset of modalities, on held-out samples."""

    task: str
    metric: Metric
    subset: str  # as `image-text`; of a retrieval task the direction
    value: float
    count: int | None  # of the samples; None of a retrieval task
    is_proportion: bool  # whether the metric is the fraction of predictions that are right

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return self.metric.format(self.value)

    @property
    def interval(self) -> str:
        """The 95 % score interval of a proportion (Wilson 1927); of other metrics none."""
        if not self.is_proportion or not self.count:
            return "–"
        part, spread = self.value, NormalDist().inv_cdf(0.975) ** 2 / self.count
        middle = (part + spread / 2) / (1 + spread)
        half = sqrt(part * (1 - part) * spread + spread**2 / 4) / (1 + spread)
        return f"{max(0.0, middle - half):.2%} to {min(1.0, middle + half):.2%}"


def scores(figures: Figures, predictions: pd.DataFrame, predictor: Predictor) -> list[Score]:
    """Return the primary metric of every task by subset of modalities."""
    counts = predictions.groupby(["task", "subset"]).size()
    kinds = {name: config.kind for name, config in predictor.model.config.tasks.items()}
    return [
        Score(
            task=task,
            metric=metric,
            subset=subset,
            value=value,
            count=counts.get((task, subset)),
            is_proportion=task in kinds and metrics_of(kinds[task]).HAS_CEILING,
        )
        for name, tasks in figures.tables()
        if (metric := figures.metrics[name]).primary
        for task, values in tasks.items()
        for subset, value in values.items()
    ]


def last_per_task(found: list[Score]) -> list[Score]:
    """Return for each task the score from the most modalities."""
    return list({score.task: score for score in found}.values())


def read_scores(arguments: RegisterArguments, predictor: Predictor) -> list[Score]:
    """Return the scores in the files of the command line."""
    figures = Figures(read_json(arguments.metrics))
    return scores(figures, read_table(arguments.predictions, PREDICTIONS), predictor)


def tags(arguments: RegisterArguments, lineage: Lineage, predictor: Predictor) -> dict[str, str]:
    """Return tags that make versions comparable at a glance in MLflow's table."""
    best = last_per_task(read_scores(arguments, predictor))
    split = Figures(read_json(arguments.metrics)).split
    report = read_json(arguments.data_report)
    return {
        **{mlflow_name(s.metric.name, s.task): f"{s.value:.4f}" for s in best},
        "evaluated on": split,
        "samples": str(sum(report["samples"].values())),
        "data": lineage.hashes.get(str(arguments.samples), "unknown")[:8],
        **lineage.tags(),
    }


def description(card: str) -> str:
    """Return as many whole lines of a card as MLflow's database stores."""
    if len(card) <= MAX_DESCRIPTION:
        return card
    return card[: MAX_DESCRIPTION - len(CUT)].rpartition("\n")[0] + CUT


def write_card(
    arguments: RegisterArguments, name: str, lineage: Lineage, predictor: Predictor, whole: bool
) -> str:
    """Return the card of a model as Markdown; the same files give the same card.

    The whole card has every subset of modalities and the settings.
    """
    template = Template(
        TEMPLATE.read_text(encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    model, modalities = predictor.model, predictor.model.config.modalities
    params = yaml.safe_load(arguments.params.read_text())
    found = read_scores(arguments, predictor)
    settings = yaml.safe_dump({name: params[name] for name in SETTINGS}, sort_keys=False)
    return template.render(
        name=name,
        split=Figures(read_json(arguments.metrics)).split,
        scores=found if whole else last_per_task(found),
        tasks=model.config.tasks,
        modalities=modalities,
        missing=[m for m in MODALITIES if m not in modalities],
        encoders=list(encoders(params, modalities)),
        report=read_json(arguments.data_report),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        megabytes=sum(f.stat().st_size for f in arguments.model.rglob("*") if f.is_file()) / 1e6,
        fusion=model.config.model.fusion.kind,
        members=params["train"]["ensemble"],
        settings=settings if whole else None,
        slices=params["ingest"]["slices"],
        source=params["ingest"]["source"]["kind"],
        lineage=lineage,
        data=lineage.hashes.get(str(arguments.samples), "unknown"),
        samples=arguments.samples,
    )


def encoders(params: Mapping[str, Any], modalities: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield each modality's encoder, the source of its weights, and their licence."""
    for m in modalities:
        settings = params["features"][m]
        origin, licence = weights_source(settings["encoder"], settings["pretrained"])
        yield {
            "modality": m,
            "encoder": settings["encoder"],
            "weights": origin,
            "licence": licence,
            "mode": params["train"]["encoders"].get(m, "frozen"),
        }


def weights_source(encoder: str, pretrained: str | None) -> tuple[str, str]:
    """Return where an encoder's initial weights are from, and their licence as far as known."""
    if encoder.startswith("package:"):
        module = encoder.removeprefix("package:").split("/")[0].split(".")[0]
        package = next(iter(_distributions().get(module, [])), None)
        about: Mapping[str, Any] = metadata.metadata(package).json if package else {}
        licence = about.get("license_expression") or about.get("license")
        return f"the package {package or module}", str(licence or "not stated by the package")
    if pretrained:
        return f"the file {pretrained}", "unknown: that of the file"
    if "@" in encoder or "/" in encoder:
        return "the Hugging Face Hub", "unknown: see the model's page"
    return "trained here from random weights", "that of the data"


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the packages that a module may be from; that reads the files of all of them."""
    return metadata.packages_distributions()
