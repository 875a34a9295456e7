"""The MLflow run of a model: what made it, how good it is, and one child run per training."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import yaml

from components.common.files import read_json
from components.common.metrics import Figures
from components.common.nested import flatten
from components.data.samples import read_samples, subset_name
from components.data.tables import read_table
from components.modalities.registry import MODALITIES
from components.model.config import ModelConfig
from components.model.predictor import Predictor
from components.register.lineage import Lineage, datasets, environment
from components.register.packaged import input_example, log_model
from components.register.settings import RegisterArguments
from components.registry.names import mlflow_name
from components.registry.shown import (
    decisive,
    figure_table,
    logged,
    named_by_gates,
    save_view,
)
from components.stage.resource_usage import ResourceUsage, read_resource_usage
from components.training.downsample import downsample
from components.training.tables import HISTORY, STEPS

MAX_POINTS = 100  # per series of steps
FIGURES = "figures.json"  # the table of all figures, an artifact of the run


@dataclass(frozen=True)
class Point:
    """A value of a metric: on held-out samples, at an epoch, or at a moment."""

    name: str
    value: float
    step: int = 0
    milliseconds: int | None = None  # since 1970; None: now


@dataclass(frozen=True)
class Training:
    """Logs of a stage that trains: points by epoch and by step, and its usage if it ran here."""

    stage: str
    points: list[Point]
    usage: ResourceUsage | None

    def system(self) -> list[Point]:
        """Return the usage as system metrics of MLflow."""
        return [
            Point(f"system/{name}", value, step, int(sample["milliseconds"]))
            for step, sample in enumerate(self.usage.samples if self.usage else [])
            for name, value in sample.items()
            if name != "milliseconds"
        ]


def trainings(histories: Path, steps: Path) -> list[Training]:
    """Return those of the stages that trained, by name; pretrained encoders have none."""
    result = []
    for path in sorted(histories.glob("*.csv")):
        points = _points(read_table(path, HISTORY), "epoch")
        if path.stem == steps.stem:
            points += _points(downsample(read_table(steps, STEPS), MAX_POINTS), "step", "steps")
        if points:
            result.append(Training(path.stem, points, read_resource_usage(path)))
    return result


def _points(table: pd.DataFrame, when: str, *prefix: str) -> list[Point]:
    columns = (table[name] for name in ("series", "task", "value", when))
    return [
        Point(mlflow_name(*prefix, series, task), value, step)
        for series, task, value, step in zip(*columns, strict=True)
    ]


def read_figures(metrics: Path, retrieval: Path) -> dict[str, float]:
    """Return every figure of held-out samples by name; some are in both files."""
    files = [Figures(read_json(path)) for path in (metrics, retrieval)]
    return {name: value for file in files for name, value in file.by_name().items()}


def read_gates(path: Path) -> list[str]:
    """Return the names of the figures that the gates in a YAML file refer to."""
    params = yaml.safe_load(path.read_text()) if path.exists() else {}
    return named_by_gates(params.get("promote") or {})


def run_name(config: ModelConfig, fingerprint: str) -> str:
    """Return what a model is, as `image-text-audio bilinear 1a2b3c4d`; of an ensemble, how many."""
    times = f"{config.members} × " if config.members > 1 else ""
    return f"{times}{subset_name(config.modalities)} {config.model.fusion.kind} {fingerprint[:8]}"


@dataclass(frozen=True)
class RunLog:
    """Logs a model's run to an experiment, which is given by its id."""

    mlflow: ModuleType
    experiment: str
    arguments: RegisterArguments
    lineage: Lineage
    predictor: Predictor

    @property
    def _client(self):
        return self.mlflow.MlflowClient()

    def log(self, card: str, tags: Mapping[str, str]) -> str:
        """Log everything; return the id of the run, which is then complete."""
        arguments, lineage = self.arguments, self.lineage
        samples = read_samples(arguments.samples, MODALITIES)
        inputs = datasets(arguments.samples, samples, arguments.media, lineage.hashes)
        split = Figures(read_json(arguments.metrics)).split
        modalities = self.predictor.model.config.modalities
        example = input_example(samples, split, arguments.media, modalities)
        hashes = {f"dvc.{path}": md5 for path, md5 in lineage.outs.items()}
        name = run_name(self.predictor.model.config, tags["fingerprint"])
        tags = {**tags, **hashes, **self._source("python -m components.register")}
        with self.mlflow.start_run(experiment_id=self.experiment, run_name=name, tags=tags) as run:
            run_id = run.info.run_id
            self._log_params(run_id, yaml.safe_load(arguments.params.read_text()))
            self._client.log_inputs(run_id, datasets=inputs)
            self._log_files(card)
            # Log the model first: MLflow attaches metrics already on the run to the model.
            model_id = log_model(self.mlflow, arguments.model, self.predictor, example)
            self._log_trainings(run_id, inputs)
            figures = read_figures(arguments.metrics, arguments.retrieval)
            self.mlflow.log_table(figure_table(figures), FIGURES)
            tested_on, gates = Figures(read_json(arguments.metrics)), read_gates(arguments.gates)
            points = [
                Point(mlflow_name(*name.split("/")), figures[name])
                for name in logged(tested_on, gates)
            ]
            tested = next(i.dataset for i in inputs if i.dataset.name == f"samples, {split}")
            self._log_points(run_id, points, model_id=model_id, dataset=tested)
        save_view(self.mlflow, self.experiment, decisive(tested_on, gates))
        return run_id

    def _source(self, name: str) -> dict[str, str]:
        """Return tags with what made a run, instead of a path of this machine as MLflow has it."""
        source = {"mlflow.source.name": name, "mlflow.source.git.commit": self.lineage.commit}
        return source | self.lineage.tags()

    def _log_files(self, card: str) -> None:
        arguments, mlflow = self.arguments, self.mlflow
        mlflow.log_artifacts(str(arguments.plots), "plots")
        mlflow.log_artifacts(str(arguments.data_plots), "data_plots")
        pages = arguments.report, arguments.data_report, arguments.data_page
        for path in (*pages, arguments.params):
            mlflow.log_artifact(str(path))
        mlflow.log_text(card, "model_card.md")
        mlflow.log_dict(environment(), "environment.json")

    def _log_trainings(self, parent: str, inputs: Sequence) -> None:
        """Log one child run per training, and the resource usage of all of them on the parent."""
        found = trainings(self.arguments.histories, self.arguments.steps)
        for training in found:
            self._log_child(parent, training, inputs)
        points = [point for training in found for point in training.system()]
        self._log_points(parent, sorted(points, key=lambda point: point.milliseconds or 0))

    def _log_child(self, parent: str, training: Training, inputs: Sequence) -> None:
        usage = training.usage
        run = self._client.create_run(
            self.experiment,
            start_time=usage and usage.started,
            run_name=training.stage,
            tags={"mlflow.parentRunId": parent, **self._source(f"stage {training.stage}")},
        )
        run_id = run.info.run_id
        self._log_params(run_id, self.lineage.params.get(training.stage, {}))
        trained = [i for i in inputs if i.dataset.name in ("samples, train", "samples, validation")]
        self._client.log_inputs(run_id, datasets=trained)
        points = [*training.points, *training.system()]
        if usage:
            points.append(Point("duration_seconds", (usage.ended - usage.started) / 1000))
        self._log_points(run_id, points)
        self._client.set_terminated(run_id, end_time=usage and usage.ended)

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        # Keys of gates are names of figures.
        flat = ((mlflow_name(*key.split("/")), value) for key, value in flatten(params))
        rows = [Param(name, str(value)) for name, value in flat]
        self._client.log_batch(run_id, params=rows)

    def _log_points(self, run_id: str, points: Sequence[Point], model_id=None, dataset=None):
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [
            Metric(
                *(point.name, point.value, point.milliseconds or now, point.step),
                model_id=model_id,
                dataset_name=dataset and dataset.name,
                dataset_digest=dataset and dataset.digest,
                run_id=run_id,
            )
            for point in points
        ]
        self._client.log_batch(run_id, metrics=rows)
