"""The MLflow run of a model: what made it, how good it is, and a child for each training."""

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.common.files import read_json
from components.data.tables import HISTORY, SAMPLES, STEPS, read_table
from components.model.predictor import Predictor
from components.register.datasets import datasets
from components.register.lineage import Lineage, environment
from components.register.packaged import input_example, log_model
from components.registry.naming import flatten, metric_name
from components.stage.resource_usage import Usage, read_usage
from components.training.downsample import spans

BATCH = 1000  # metrics a request
PARAMS = 100  # parameters a request
SPANS = 100  # of steps, at most, a value each


@dataclass(frozen=True)
class Point:
    """A metric's value: of a test, of an epoch, or of a moment.

    Attributes:
        milliseconds: since 1970; None: now.
    """

    name: str
    value: float
    step: int = 0
    milliseconds: int | None = None


@dataclass(frozen=True)
class Training:
    """What a stage that trains has logged.

    Attributes:
        stage: its name.
        points: by epoch and by step.
        usage: of the machine; None if it did not run here.
    """

    stage: str
    points: list[Point]
    usage: Usage | None

    def system(self) -> list[Point]:
        """The usage as MLflow's system metrics."""
        return [
            Point(f"system/{name}", value, step, sample["milliseconds"])
            for step, sample in enumerate(self.usage.samples if self.usage else [])
            for name, value in sample.items()
            if name != "milliseconds"
        ]


def trainings(histories: Path, steps: Path) -> list[Training]:
    """Those of the stages that trained, by name; one whose encoder was taught before did not."""
    result = []
    for path in sorted(histories.glob("*.csv")):
        points = [
            Point(metric_name(row.series, row.task), row.value, row.epoch)
            for row in read_table(path, HISTORY).itertuples()
        ]
        if path.stem == steps.stem:
            points += [
                Point(metric_name("steps", row.series, row.task), row.value, row.step)
                for row in spans(read_table(steps, STEPS), SPANS).itertuples()
            ]
        if points:
            result.append(Training(path.stem, points, read_usage(path)))
    return result


def test_points(metrics: Path, retrieval: Path) -> list[Point]:
    """Every metric of the test split; some are in both files."""
    rows = dict(row for path in (metrics, retrieval) for row in flatten(read_json(path)))
    return [Point(metric_name(*key.split(".")), value) for key, value in rows.items()]


class RunLog:
    """Logs a model's run to an experiment.

    Args:
        mlflow: connected.
        experiment: its id.
        arguments: the stage's command line.
        lineage: what the model was made from.
        predictor: the model.
    """

    def __init__(
        self,
        mlflow,
        experiment: str,
        arguments: argparse.Namespace,
        lineage: Lineage,
        predictor: Predictor,
    ):
        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self._experiment, self._arguments = experiment, arguments
        self._lineage, self._predictor = lineage, predictor

    def log(self, card: str, tags: dict[str, str]) -> str:
        """Log everything; the id of the run, which is complete then."""
        arguments, lineage = self._arguments, self._lineage
        samples = read_table(arguments.samples, SAMPLES)
        inputs = datasets(arguments.samples, samples, arguments.media, lineage.hashes)
        example = input_example(samples, arguments.media, self._predictor.model.config.learnt)
        hashes = {f"dvc.{path}": md5 for path, md5 in lineage.outs.items()}
        tags = {**tags, **lineage.tags(), **hashes, **self._source()}
        with self._mlflow.start_run(
            experiment_id=self._experiment, run_name=f"model {tags['fingerprint'][:8]}", tags=tags
        ) as run:
            run_id = run.info.run_id
            params = yaml.safe_load(arguments.params.read_text())
            self._log_params(run_id, params)
            self._client.log_inputs(run_id, datasets=inputs)
            self._log_files(card)
            # First the model: MLflow takes what is a metric of the run before for one of the model.
            model_id = log_model(self._mlflow, arguments.model, self._predictor, example)
            self._log_trainings(run_id, inputs)
            points = test_points(arguments.metrics, arguments.retrieval)
            tested = next(i.dataset for i in inputs if i.dataset.name == "samples, test")
            self._log_points(run_id, points, model_id=model_id, dataset=tested)
        return run_id

    def _source(self) -> dict[str, str]:
        """What MLflow shows as the run's source, in place of a path of this machine."""
        return {
            "mlflow.source.name": "python -m components.register",
            "mlflow.source.git.commit": self._lineage.commit,
        }

    def _log_files(self, card: str) -> None:
        arguments, mlflow = self._arguments, self._mlflow
        mlflow.log_artifacts(str(arguments.plots), "plots")
        mlflow.log_artifacts(str(arguments.data_plots), "data_plots")
        for path in (arguments.report, arguments.data_report, arguments.data_page):
            mlflow.log_artifact(str(path))
        mlflow.log_artifact(str(arguments.params))
        mlflow.log_text(card, "model_card.md")
        mlflow.log_dict(environment(), "environment.json")

    def _log_trainings(self, parent: str, inputs: Sequence) -> None:
        """A child run a training; all that they took of the machine, in one, on the parent."""
        found = trainings(self._arguments.histories, self._arguments.steps)
        for training in found:
            self._log_child(parent, training, inputs)
        points = [point for training in found for point in training.system()]
        self._log_points(parent, sorted(points, key=lambda point: point.milliseconds))

    def _log_child(self, parent: str, training: Training, inputs: Sequence) -> None:
        usage = training.usage
        run = self._client.create_run(
            self._experiment,
            start_time=usage and usage.started,
            run_name=training.stage,
            tags={
                "mlflow.parentRunId": parent,
                "mlflow.source.name": f"stage {training.stage}",
                "mlflow.source.git.commit": self._lineage.commit,
                **self._lineage.tags(),
            },
        )
        run_id = run.info.run_id
        params = self._lineage.params.get(training.stage, {})
        self._log_params(run_id, params)
        trained = [i for i in inputs if i.dataset.name in ("samples, train", "samples, validation")]
        self._client.log_inputs(run_id, datasets=trained)
        duration = (
            [Point("duration_seconds", (usage.ended - usage.started) / 1000)] if usage else []
        )
        self._log_points(run_id, [*training.points, *training.system(), *duration])
        self._client.set_terminated(run_id, end_time=usage and usage.ended)

    def _log_params(self, run_id: str, params: dict) -> None:
        from mlflow.entities import Param

        # A gate's key is the name of a metric.
        flat = ((metric_name(*key.split("/")), value) for key, value in flatten(params))
        rows = [Param(name, str(value)) for name, value in flat]
        for part in _parts(rows, PARAMS):
            self._client.log_batch(run_id, params=part)

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
        for part in _parts(rows, BATCH):
            self._client.log_batch(run_id, metrics=part)


def _parts(rows: Sequence, size: int) -> Iterable[Sequence]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
