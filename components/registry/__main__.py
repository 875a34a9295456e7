"""Stage `register`: an MLflow run with everything about the model, and a registered version."""

import argparse
import json
import logging
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import components
from components.config.command import Stage, View
from components.config.section import MODALITIES, Modality
from components.model.base.spans import spans
from components.model.labels.labels import written
from components.model.predictor import Predictor
from components.registry.tracking import connect, experiment_id
from components.store.errors import InputError
from components.store.files import read_json, write_json
from components.store.hashing import file_hash
from components.store.shards import media_of
from components.store.tables import HISTORY, SAMPLES, STEPS, read_table

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Log the model, its metrics and plots to MLflow and register it.",
    inputs={
        "model": "folder, the trained model",
        "metrics": "JSON, the metrics of the evaluate stage",
        "retrieval": "JSON, the metrics of the align stage",
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
    optional={"lock": "dvc.lock, whose hashes the run notes"},
    params=("register",),
)

REQUIREMENTS = (
    *("mlflow", "torch", "torchvision", "torchaudio", "safetensors", "tokenizers", "soundfile"),
    *("pillow", "simplejpeg", "cykooz-resizer", "pydantic", "pandas", "pandera", "pyarrow"),
    *("tqdm", "PyYAML"),
)
BATCH = 1000  # metrics a request
SPANS = 100  # of steps, at most, a value each


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys; lists as one value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if not isinstance(value, list) else json.dumps(value)


def metric_name(*parts: str) -> str:
    """A name that MLflow accepts: `accuracy/answer/image_text`, `recall_at_1/text_to_audio`."""
    spelt = (part.replace("+", "_").replace("→", "_to_").replace("–", "_") for part in parts)
    kept = ("".join(c for c in part if c.isalnum() or c in "_-. ") for part in spelt)
    return "/".join(part if part.strip(".") else "_" for part in kept)  # "" and ".." are no names


def metrics_of(arguments: argparse.Namespace) -> list[tuple[str, float, int]]:
    """Every metric as (name, value, step): of the test split, by epoch, and by step."""
    files = (arguments.metrics, arguments.retrieval)  # some metrics are in both
    test = [row for path in files for row in flatten(read_json(path))]
    rows = [(metric_name(*key.split(".")), value, 0) for key, value in test]
    for path in sorted(arguments.histories.glob("*.csv")):
        for row in read_table(path, HISTORY).itertuples():
            rows.append((metric_name(path.stem, row.series, row.task), row.value, row.epoch))
    for row in spans(read_table(arguments.steps, STEPS), SPANS).itertuples():
        rows.append((metric_name("train_steps", row.series, row.task), row.value, row.step))
    return rows


def tags_of(fingerprint: str) -> dict[str, str]:
    """Which model it is, and the code that made it."""
    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    return {
        "fingerprint": fingerprint,
        "git_commit": git("rev-parse", "HEAD") or "unknown",
        "git_dirty": str(dirty).lower(),
    }


def hashes_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The hash of every artifact that DVC tracks, but for what this stage is about to make."""
    if not (arguments.lock and arguments.lock.exists()):
        return {}
    stages = yaml.safe_load(arguments.lock.read_text())["stages"]
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    own = str(arguments.registration)
    return {f"dvc.{out['path']}": out["md5"] for out in outs if out["path"] != own}


def git(*words: str) -> str | None:
    """What a git command prints; None if there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def input_example(
    samples: pd.DataFrame, media: Path, modalities: Sequence[Modality]
) -> pd.DataFrame:
    """The first test sample that has all of some modalities, or the most, as raw media."""
    test = samples[samples["split"] == "test"]
    columns = [f"{m}_id" for m in modalities]
    sample = test.loc[test[columns].notna().sum(axis=1).idxmax()]
    row = {}
    for m in modalities:
        if pd.notna(sample[f"{m}_id"]):
            content = read_asset(media / m, sample[f"{m}_id"])
            row[m] = content.decode() if m == "text" else content
    return pd.DataFrame([row])


def read_asset(folder: Path, asset_id: str) -> bytes:
    """One asset's bytes from a media shard set."""
    for _, content in media_of(folder, {asset_id}):
        return content
    raise InputError(f"{folder} does not hold the asset {asset_id}. Run: dvc repro")


def signature(mlflow, predictor: Predictor):
    """Optional image, text and audio in; each task's answer and confidence out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array

    media = {"image": "binary", "text": "string", "audio": "binary"}
    types = {
        str: "string",
        float: "double",
        list[str]: Array("string"),
        list[float]: Array("double"),
    }
    outputs = [
        ColSpec(types[answer], name, required=False)
        for task, kind in predictor.model.kinds.items()
        for answer, name in ((kind.ANSWER, task), (kind.CONFIDENCE, f"{task}_confidence"))
        if answer is not None
    ]
    inputs = [ColSpec(media[m], m, required=False) for m in MODALITIES]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def clear_unfinished(client, experiment: str, name: str, fingerprint: str) -> None:
    """Remove what a run of this stage left that was killed before it finished."""
    leftovers = client.search_runs(
        [experiment], f"tags.fingerprint = '{fingerprint}' and attributes.status = 'RUNNING'"
    )
    for run in leftovers:
        for model in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
            client.delete_model_version(name, model.version)
        client.delete_run(run.info.run_id)


def registered(client, name: str, fingerprint: str):
    """The version that holds this very model, or None."""
    found = client.search_model_versions(f"name = '{name}' and tags.fingerprint = '{fingerprint}'")
    return max(found, key=lambda model: int(model.version), default=None)


def register(arguments: argparse.Namespace, settings: View, fingerprint: str):
    """Log a run and register its model; give the model version."""
    mlflow = connect()
    options, client = settings.register, mlflow.MlflowClient()
    experiment = experiment_id(mlflow, options.experiment)
    clear_unfinished(client, experiment, options.model, fingerprint)
    if (known := registered(client, options.model, fingerprint)) is not None:
        client.set_registered_model_alias(options.model, options.alias, known.version)
        return known
    tags = tags_of(fingerprint)
    all_tags = tags | hashes_of(arguments)
    with mlflow.start_run(experiment_id=experiment, tags=all_tags) as run:
        log_run(mlflow, client, run.info.run_id, arguments)
        predictor = Predictor(arguments.model)
        samples = read_table(arguments.samples, SAMPLES)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(arguments.model)},
            code_paths=[components.__path__[0]],
            signature=signature(mlflow, predictor),
            input_example=input_example(samples, arguments.media, predictor.model.config.learnt),
            pip_requirements=[f"{name}=={version(name)}" for name in requirements(predictor)],
            registered_model_name=options.model,
        )
        number = logged.registered_model_version
        for key, value in tags.items():
            client.set_model_version_tag(options.model, str(number), key, value)
        client.set_registered_model_alias(options.model, options.alias, str(number))
    return client.get_model_version(options.model, str(number))


def requirements(predictor: Predictor) -> tuple[str, ...]:
    """The packages that a model needs to answer."""
    foreign = predictor.model.config.descriptions
    return (*REQUIREMENTS, *(["transformers"] if foreign else []))


def log_run(mlflow, client, run_id: str, arguments: argparse.Namespace) -> None:
    """Parameters, metrics, plots and reports of the run."""
    from mlflow.entities import Metric

    flat = flatten(yaml.safe_load(arguments.params.read_text()))
    params = {metric_name(*key.split("/")): value for key, value in flat}  # a gate is a metric
    mlflow.log_params(params)
    now = int(time.time() * 1000)
    rows = [Metric(name, value, now, step) for name, value, step in metrics_of(arguments)]
    for start in range(0, len(rows), BATCH):
        client.log_batch(run_id, metrics=rows[start : start + BATCH])
    mlflow.log_artifacts(str(arguments.plots), "plots")
    mlflow.log_artifacts(str(arguments.data_plots), "data_plots")
    files = (arguments.report, arguments.data_report, arguments.data_page, arguments.params)
    for path in files:
        mlflow.log_artifact(str(path))


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
            'ask         python -m components.registry.predict --image IMAGE --text "QUESTION"',
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
