"""Examine any model on the present test split, from its raw media, with the model's own processors.

The stage `evaluate` reads the tensors that the pipeline made for its own model. A model that was
made with other settings, as a champion may be, reads other tensors; here it makes them itself, so
that two models answer the same questions and can be compared.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import components
from components.config.command import Stage, View
from components.config.section import MODALITIES, Modality
from components.config.tasks import TaskSettings
from components.evaluate import measure
from components.evaluate.predict import answer, held_out
from components.model.base.assets import AssetTensors
from components.model.base.batch import Samples, make_samples
from components.model.base.chance import make_deterministic
from components.model.base.features import AT_ONCE, Features
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.store.files import read_json, write_json
from components.store.hashing import file_hash, fingerprint
from components.store.shards import media_of
from components.store.tables import PREDICTIONS, SHARES, write_table

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Examine a model on the test split's raw media: metrics, latency, size.",
    inputs={
        "model": "folder, the model",
        "samples": "Parquet, the samples; their test split is asked about",
        "media": "folder, one media shard set a modality",
    },
    outputs={
        "exam": "folder: exam.json, predictions.parquet and shares.parquet; one that holds the "
        "results of this very exam is left as it is",
    },
    params=("seed", "threads", "tasks", "ingest.slices", "ingest.splits.group"),
    choices={"suite": ("none", "quick", "full")},
)

CODE = ("config", "evaluate", "model", "store")  # the packages whose code decides the result
EXAM, ANSWERS, PARTS = "exam.json", "predictions.parquet", "shares.parquet"
SINGLE, BATCH, REPEATS, WARM_UP = 60, 32, 10, 5  # of the latencies
PERCENTILES = {"median_ms": 50, "p95_ms": 95}

Spoil = Callable[[str, bytes], bytes]  # an asset's id and content → another content


@dataclass(frozen=True)
class Questions:
    """What a model is asked.

    Attributes:
        table: the test split.
        media: folder, one media shard set a modality.
        tasks: those that the model has a head for.
        group: what splits keep together, as the setting ingest.splits.group says.
    """

    table: pd.DataFrame
    media: Path
    tasks: Mapping[str, TaskSettings]
    group: str

    def ids(self, modality: Modality) -> set[str]:
        """The assets that are asked about."""
        return set(self.table[f"{modality}_id"].dropna())


@dataclass(frozen=True)
class Encoded:
    """Features of all assets of a modality that are asked about, in the order of `ids`."""

    ids: tuple[str, ...]
    features: Features


def known(model: MultimodalModel, tasks: Mapping[str, TaskSettings]) -> dict[str, TaskSettings]:
    """Those of the tasks that the model has a head for, of the same kind."""
    heads = model.config.tasks
    return {n: task for n, task in tasks.items() if n in heads and heads[n].kind == task.kind}


def some(items: Iterable, size: int) -> Iterator[list]:
    """The items, so many at a time."""
    items = iter(items)
    while taken := list(islice(items, size)):
        yield taken


@torch.no_grad()
def encode(
    predictor: Predictor, modality: Modality, questions: Questions, spoil: Spoil | None = None
) -> Encoded | None:
    """Read, process and encode each asset once, a few hundred at a time; None if there is none."""
    encoder, processor = predictor.model.encoders[modality], predictor.processors[modality]
    ids, parts = [], []
    pairs = media_of(questions.media / modality, questions.ids(modality))
    for batch in some(pairs, getattr(encoder, "at_once", AT_ONCE)):
        inputs = processor([spoil(*pair) if spoil else pair[1] for pair in batch])
        ids += [asset for asset, _ in batch]
        parts.append(encoder(**{name: torch.as_tensor(v) for name, v in inputs.items()}))
    return Encoded(tuple(ids), Features.cat(parts)) if parts else None


def ask(
    model: MultimodalModel, questions: Questions, encoded: Mapping[Modality, Encoded]
) -> pd.DataFrame:
    """The answers, a table as `PREDICTIONS`."""
    assets = {m: AssetTensors(found.ids, {}) for m, found in encoded.items()}
    samples: Samples = make_samples(questions.table, assets, {}, model.kinds)
    features = {m: found.features for m, found in encoded.items()}
    return answer(model, questions.table, features, samples, questions.tasks)


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


def raw_rows(predictor: Predictor, questions: Questions, count: int) -> pd.DataFrame:
    """Up to `count` samples as a caller sends them, raw: some with the most modalities."""
    learnt = predictor.model.config.learnt
    columns = [f"{m}_id" for m in learnt]
    given = questions.table[columns].notna().sum(axis=1)
    rows = questions.table[given == given.max()].head(count)
    result = {}
    for m in learnt:
        contents = dict(media_of(questions.media / m, set(rows[f"{m}_id"].dropna())))
        texts = rows[f"{m}_id"].map(contents)
        result[m] = texts.map(bytes.decode, na_action="ignore") if m == "text" else texts
    return pd.DataFrame(result).reset_index(drop=True)


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
    home = Path(components.__path__[0])
    code = sorted(path for name in CODE for path in (home / name).rglob("*.py"))
    indices = [arguments.media / m / "index.parquet" for m in MODALITIES]  # name shards by content
    files = file_hash(arguments.model, arguments.samples, *indices, *code)
    return fingerprint(files, arguments.suite, settings.dump())


def examine(
    arguments: argparse.Namespace, settings: View
) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """The results as `EXAM` holds them, all predictions, and their shares."""
    predictor = Predictor(arguments.model)
    model = predictor.model
    table = held_out(arguments.samples, model.config.learnt)
    tasks = known(model, settings.tasks)
    questions = Questions(table, arguments.media, tasks, settings.ingest_splits_group)
    found = {m: encode(predictor, m, questions) for m in model.config.learnt}
    encoded = {m: part for m, part in found.items() if part is not None}
    predictions = ask(model, questions, encoded)
    sizes = [path.stat().st_size for path in arguments.model.rglob("*") if path.is_file()]
    result = {
        "metrics": measure.metrics(predictions, model.kinds),
        "slices": measure.by_slice(predictions, table, settings.ingest_slices, model.kinds),
        "compared": {task: model.kinds[task].COMPARED for task in questions.tasks},
        "latency": latency(predictor, questions),
        "size_bytes": sum(sizes),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return result, predictions, shares(model, predictions, questions)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the exam, unless its results are there."""
    path, key = arguments.exam / EXAM, made_of(arguments, settings)
    if path.exists() and read_json(path)["made_of"] == key:
        log.info("%s holds the results of this exam", arguments.exam)
        return
    make_deterministic(settings.seed, settings.threads)
    result, predictions, parts = examine(arguments, settings)
    path.unlink(missing_ok=True)  # those of another exam; it is written last
    write_table(arguments.exam / ANSWERS, predictions, PREDICTIONS)
    write_table(arguments.exam / PARTS, parts, SHARES)
    write_json(path, {"made_of": key, **result})


if __name__ == "__main__":
    STAGE.run(work)
