"""Stage `register`: an MLflow run with everything about the model, and a registered version."""

import argparse
from collections.abc import Mapping
from functools import partial

from components.common.files import read_json, write_json
from components.common.hashing import file_hash
from components.config.command import Stage, View
from components.model.predictor import Predictor
from components.register.card import card, description, tags
from components.register.lineage import Lineage
from components.register.register import Registry, Version
from components.register.run_log import RunLog
from components.registry.tracking import connect, experiment_id, explained
from components.tasks.labels import written

STAGE = Stage(
    description="Log the model, its metrics and plots to MLflow and register it.",
    inputs={
        "model": "folder, the trained model",
        "metrics": "JSON, the metrics of the evaluate stage",
        "retrieval": "JSON, the metrics of the align stage",
        "predictions": "Parquet, the predictions of the evaluate stage",
        "histories": "folder, metrics by epoch, a CSV a stage",
        "steps": "Parquet, what the train stage logged by step",
        "plots": "folder, plots as PNG",
        "report": "HTML, the evaluation",
        "data-report": "JSON, what is in the data",
        "data-plots": "folder, the same as PNG",
        "data-page": "HTML, the same on one page",
        "samples": "Parquet, the samples; the first of the test split is the input example",
        "media": "folder, one media shard set a modality",
    },
    outputs={"registration": "JSON, what was registered, without anything that varies"},
    optional={"lock": "dvc.lock, whose hashes and settings the run notes"},
    params=("register",),
)


def register(arguments: argparse.Namespace, settings: View, fingerprint: str):
    """The model's version in MLflow, which has the alias then."""
    mlflow, options = connect(), settings.register
    with explained(mlflow):
        experiment = experiment_id(mlflow, options.experiment)
        registry = Registry(mlflow, experiment, options.model)
        version = registry.find(fingerprint)
        if version is None:
            lineage = Lineage.here(arguments.lock, arguments.registration)
            predictor = Predictor(arguments.model)
            write = partial(card, arguments, options.model, lineage, predictor)
            log = RunLog(mlflow, experiment, arguments, lineage, predictor)
            version = registry.register(
                fingerprint,
                partial(log.log, write(whole=True)),
                Version(tags(arguments, lineage), description(write(whole=False))),
            )
        registry.clear(fingerprint)
        client = mlflow.MlflowClient()
        client.set_registered_model_alias(options.model, options.alias, version.version)
    return version


def summary(arguments: argparse.Namespace, settings: View, model) -> str:
    """What a person wants to know when the pipeline has ended."""
    metrics = read_json(arguments.metrics)
    lines = [
        line
        for metric, by_task in metrics.items()
        if metric not in ("ceiling", "slices") and by_task
        for line in columns(metric, by_task)
    ]
    name, alias = settings.register.model, settings.register.alias
    return "\n".join(
        [
            *lines,
            "",
            f"report      {arguments.report}",
            f"MLflow run  {model.run_id}: model {name}, version {model.version}, alias {alias}",
            "look        make ui",
            'ask         python -m components.serving.predict --image IMAGE --text "QUESTION"',
        ]
    )


def columns(metric: str, by_task: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A metric as lines of text: a column a task, a line a subset of modalities."""
    subsets = list(dict.fromkeys(subset for values in by_task.values() for subset in values))
    width = max(map(len, subsets)) + 2
    title = f"{metric.replace('_', ' ')} on the test split"
    lines = ["", title, " " * width + "".join(f"{task:>15}" for task in by_task)]
    for subset in subsets:
        cells = (
            f"{written(metric, v[subset]) if subset in v else '–':>14} " for v in by_task.values()
        )
        lines.append(f"{subset:<{width}}" + "".join(cells))
    return lines


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    evidence = [arguments.model, arguments.metrics, arguments.retrieval, arguments.histories]
    fingerprint = file_hash(*evidence)
    model = register(arguments, settings, fingerprint)
    options = settings.register
    write_json(
        arguments.registration,
        {"model": options.model, "alias": options.alias, "fingerprint": fingerprint},
    )
    print(summary(arguments, settings, model))


if __name__ == "__main__":
    STAGE.run(work)
