"""Examine any model on the present test split, from its raw media, with the model's own processors.

The stage `evaluate` reads the tensors that the pipeline made for its own model. A model that was
made with other settings, as a champion may be, reads other tensors; here it makes them itself, so
that two models answer the same questions and can be compared.
"""

import argparse
import logging
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch

from components.common.files import read_json, write_json
from components.common.hashing import file_hash, fingerprint
from components.common.source_code import code_hash
from components.config.command import Stage, View
from components.data.tables import PREDICTIONS, ROBUSTNESS, SHARES, write_table
from components.evaluate import measure
from components.evaluate.predict import held_out
from components.evaluate.robustness import CORRUPTIONS, SUITES, suite
from components.evaluate.robustness.measure import Spoil, summary
from components.evaluate.robustness.measure import measure as corrupted
from components.evaluate.test_set import Questions, ask, encode, known, raw_rows
from components.modalities.registry import MODALITIES, Modality
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.training.determinism import make_deterministic

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Examine a model on the test split's raw media: metrics, latency, size.",
    inputs={
        "model": "folder, the model",
        "samples": "Parquet, the samples; their test split is asked about",
        "media": "folder, one media shard set a modality",
    },
    outputs={
        "exam": "folder: exam.json and, as Parquet, predictions, their shares of the metrics and "
        "robustness; one that holds the results of this very exam is left as it is",
    },
    params=("seed", "threads", "tasks", "ingest.slices", "ingest.splits.group"),
    choices={"suite": tuple(SUITES)},
)

EXAM, ANSWERS = "exam.json", "predictions.parquet"
PARTS, SPOILT = "shares.parquet", "robustness.parquet"
SINGLE, BATCH, REPEATS, WARM_UP = 60, 32, 10, 5  # of the latencies
PERCENTILES = {"median_ms": 50, "p95_ms": 95}


def units(table: pd.DataFrame, subset: str, group: str) -> pd.Series:
    """By sample, which of them are right or wrong together if a subset of modalities is asked.

    These are the samples of a group that splits keep together; where the subset or the table has
    no such group, those with the same assets, which get the same answers.
    """
    ids = table.set_index("sample_id")
    parts = [ids[f"{m}_id"].fillna("") for m in subset.split("+")]
    assets = parts[0].str.cat(parts[1:], sep="+")
    if group in MODALITIES:
        return ids[f"{group}_id"] if group in subset.split("+") else assets
    return ids[group].astype("str").fillna(assets) if group in ids else assets


def shares(model: MultimodalModel, predictions: pd.DataFrame, questions: Questions) -> pd.DataFrame:
    """A table as `SHARES`, a row a task, subset and unit."""
    rows = []
    for (task, subset), said in predictions.groupby(["task", "subset"], sort=False):
        part, whole = model.kinds[task].shares(said)
        unit = said["sample_id"].map(units(questions.table, subset, questions.group))
        sums = pd.DataFrame({"part": part, "whole": whole}).groupby(unit.to_numpy()).sum()
        rows.append(sums.rename_axis("unit").reset_index().assign(task=task, subset=subset))
    return pd.concat(rows or [pd.DataFrame(columns=list(SHARES.columns))])[list(SHARES.columns)]


def milliseconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def latency(predictor: Predictor, questions: Questions) -> dict:
    """How long answers to single rows and to a batch take, from raw media, after a warm-up."""
    rows = raw_rows(predictor, questions, SINGLE)
    batch = rows.head(BATCH)
    singles = [partial(predictor, rows.iloc[[place]]) for place in range(len(rows))]
    batches = [partial(predictor, batch)] * REPEATS
    for call in singles[:WARM_UP]:
        call()
    times = {"single": singles, "batch": batches}
    spent = {name: [milliseconds(call) for call in calls] for name, calls in times.items()}
    return {
        "threads": torch.get_num_threads(),
        "rows_of_a_batch": len(batch),
        **{
            name: {q: float(np.percentile(found, at)) for q, at in PERCENTILES.items()}
            for name, found in spent.items()
        },
    }


def made_of(arguments: argparse.Namespace, settings: View) -> str:
    """What decides an exam: the model, the questions, the settings and the code."""
    indices = [arguments.media / m / "index.parquet" for m in MODALITIES]  # name shards by content
    files = file_hash(arguments.model, arguments.samples, *indices)
    code = code_hash("components.evaluate.evaluation")
    return fingerprint(files, code, arguments.suite, settings.dump())


def robustness(
    predictor: Predictor, questions: Questions, encoded: dict, clean: pd.DataFrame, name: str
) -> pd.DataFrame:
    """The metrics under each corruption of a suite, a table as `ROBUSTNESS`."""

    def again(modality: Modality, spoil: Spoil) -> pd.DataFrame:
        spoilt = encode(predictor, modality, questions, spoil)
        return ask(predictor.model, questions, {**encoded, modality: spoilt})

    felt = [(c, severity) for c, severity in suite(name) if CORRUPTIONS[c].modality in encoded]
    return corrupted(predictor.model.kinds, clean, again, felt)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the exam, unless its results are there."""
    path, key = arguments.exam / EXAM, made_of(arguments, settings)
    if path.exists() and read_json(path)["made_of"] == key:
        log.info("%s holds the results of this exam", arguments.exam)
        return
    make_deterministic(settings.seed, settings.threads)
    predictor = Predictor(arguments.model)
    model = predictor.model
    table = held_out(arguments.samples, model.config.learnt)
    tasks = known(model, settings.tasks)
    questions = Questions(table, arguments.media, tasks, settings.ingest_splits_group)
    encoded = {m: encode(predictor, m, questions) for m in model.config.learnt}
    predictions = ask(model, questions, encoded)
    spoilt = robustness(predictor, questions, encoded, predictions, arguments.suite)
    sizes = [file.stat().st_size for file in arguments.model.rglob("*") if file.is_file()]
    result = {
        "made_of": key,
        "metrics": measure.metrics(predictions, model.kinds),
        "slices": measure.by_slice(predictions, table, settings.ingest_slices, model.kinds),
        "compared": {task: model.kinds[task].COMPARED for task in tasks},
        "latency": latency(predictor, questions),
        "robustness": summary(spoilt),
        "size_bytes": sum(sizes),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    path.unlink(missing_ok=True)  # that of another exam; it is written last
    write_table(arguments.exam / ANSWERS, predictions, PREDICTIONS)
    write_table(arguments.exam / PARTS, shares(model, predictions, questions), SHARES)
    write_table(arguments.exam / SPOILT, spoilt, ROBUSTNESS)
    write_json(path, result)
    log.info("%s holds the results", arguments.exam)


if __name__ == "__main__":
    STAGE.run(work)
