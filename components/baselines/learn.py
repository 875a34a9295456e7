"""Fits the baselines, and measures them on the held-out samples."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.baselines.examples import Examples, examples, label_counts
from components.baselines.features import AssetFeatures, plain_features
from components.common.worker_processes import run_jobs
from components.data.samples import SAMPLE_ID, SPLIT, asset_column, subset_name
from components.data.subsets import subsets
from components.data.tables import concat_tables
from components.modalities.registry import MODALITIES, plain_features_of
from components.tasks.baseline import BASELINES, Baseline, Scores
from components.tasks.labels import Vocabulary
from components.tasks.metrics import TaskMetrics, quotient
from components.tasks.registry import baseline_of, labels_of, metrics_of
from components.tasks.settings import HeadTaskSettings, balance_of

log = logging.getLogger(__name__)

DEFAULT_STRENGTH = 1.0  # where no sample of the validation split has the modality and a label


@dataclass(frozen=True)
class BaselineTask:
    """A task, and the held-out samples whose label is known."""

    name: str
    column: str
    modalities: Sequence[str]  # that can decide it
    baseline: Baseline
    metrics: TaskMetrics
    held_out: pd.DataFrame

    def contributions(self, scores: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
        """Return what scores of samples add to the primary metric, its two sums: float [2, n]."""
        targets = rows[self.column].map(self.baseline.labels.to_text)
        predictions = self.baseline.predictions(scores)
        table = pd.DataFrame({"target": targets.to_numpy(), "prediction": predictions})
        return np.stack(self.metrics.contributions(table))


@dataclass(frozen=True)
class Fit:
    """The model of a task over one modality."""

    examples: int  # that it learnt from
    found: int  # examples that there are
    strength: float
    scores: np.ndarray  # of the held-out samples, [n, outputs]; NaN without the modality

    def to_json(self) -> dict[str, Any]:
        """Return what the report shows of it."""
        return {"examples": self.examples, "of": self.found, "strength": self.strength}


Fits = Mapping[str, Mapping[str, Fit]]  # task → modality → model


def baseline_task(
    name: str, task: HeadTaskSettings, vocabulary: Vocabulary, held_out: pd.DataFrame
) -> BaselineTask | None:
    """Return a task as baselines learn it; None if its kind has no baseline."""
    baseline = baseline_of(task.kind)
    if baseline is None:
        return None
    labels = labels_of(task.kind)(**vocabulary)
    return BaselineTask(
        name=name,
        column=task.column,
        modalities=task.sufficient_modalities or MODALITIES,
        baseline=baseline(labels, balance_of(task) != "none"),
        metrics=metrics_of(task.kind)(labels),
        held_out=held_out[held_out[task.column].notna()].reset_index(drop=True),
    )


def learn(
    tasks: Sequence[BaselineTask],
    train: pd.DataFrame,
    held_out: pd.DataFrame,
    media: Path,
    inputs: Any,
    workers: int,
) -> Fits:
    """Return a model per task and modality; `workers` processes learn those of a modality each.

    `inputs` are settings by modality, see `PlainFeatures.describe`.
    """
    of = {m: getattr(inputs, m, None) for m in MODALITIES}
    jobs = [(m, tasks, train, held_out, media / m, of[m]) for m in MODALITIES]
    parts = dict(zip(MODALITIES, run_jobs(_learn, jobs, workers), strict=True))
    for m, part in parts.items():
        for name, fit in part.items():
            log.info("%-14s %-10s %d of %d examples", name, m, fit.examples, fit.found)
    return {
        task.name: {m: part[task.name] for m, part in parts.items() if task.name in part}
        for task in tasks
    }


def _learn(
    m: str,
    tasks: Sequence[BaselineTask],
    train: pd.DataFrame,
    held_out: pd.DataFrame,
    media: Path,
    inputs: Any,
) -> dict[str, Fit]:
    """Return the models of a modality by task."""
    part = plain_features_of(m)
    able = [task for task in tasks if m in task.modalities]
    found = [(task, examples(train, m, task.column, task.baseline.labels)) for task in able]
    learnt = {asset for _, pairs in found for asset in pairs.assets}
    if part is None or not learnt:
        return {}
    wanted = learnt.union(held_out[asset_column(m)].dropna())
    features = plain_features(part, inputs, media, wanted, learnt)
    return {task.name: _fit(task, m, pairs, features) for task, pairs in found if pairs.assets}


def _fit(task: BaselineTask, m: str, pairs: Examples, features: AssetFeatures) -> Fit:
    """Return the model that is best on the validation split; strengths rise until it gets worse."""
    column, seen = asset_column(m), features.of(pairs.assets)
    rows = task.held_out[task.held_out[column].notna() & (task.held_out[SPLIT] == "validation")]

    def fit(strength: float) -> Scores:
        return task.baseline.fit(seen, pairs.labels, pairs.weights, strength)

    def fitted(strength: float, model: Scores) -> Fit:
        scores = _scores(task.held_out[column], model, features)
        return Fit(len(pairs.assets), pairs.found, strength, scores)

    if rows.empty:
        return fitted(DEFAULT_STRENGTH, fit(DEFAULT_STRENGTH))
    unseen, metric = features.of(rows[column].tolist()), task.metrics.primary()
    best, value = None, np.nan
    for strength in task.baseline.STRENGTHS:
        model = fit(strength)
        new = float(quotient(*task.contributions(model(unseen), rows).sum(1)))
        if best is not None and metric.improvement(new, value) <= 0:
            break
        best, value = (strength, model), new
    assert best is not None  # there are strengths
    return fitted(*best)


def measure(tasks: Sequence[BaselineTask], train: pd.DataFrame, fits: Fits) -> pd.DataFrame:
    """Return what each prediction of each baseline adds to the metric of its task, as `BASELINES`.

    A task has a baseline that sees nothing, and one per subset of the modalities that can decide
    it, which sums the scores of their models.
    """
    tables = []
    for task in tasks:
        labels, weights = label_counts(train[task.column], task.baseline.labels)
        scores = np.tile(task.baseline.constant(labels, weights), (len(task.held_out), 1))
        if len(task.held_out):
            tables.append(_table(task, task.baseline.CONSTANT, task.held_out, scores))
        tables += _fused(task, fits[task.name])
    return concat_tables(tables, BASELINES)


def _fused(task: BaselineTask, fits: Mapping[str, Fit]) -> Iterator[pd.DataFrame]:
    for subset in subsets(tuple(fits)):
        has = task.held_out[list(map(asset_column, subset))].notna().all(axis=1).to_numpy()
        if has.any():
            together = task.baseline.fuse([fits[m].scores[has] for m in subset])
            yield _table(task, subset_name(subset), task.held_out[has], together)


def _scores(ids: pd.Series, model: Scores, features: AssetFeatures) -> np.ndarray:
    """Return the scores of each sample, [n, outputs]; not a number where the asset is missing."""
    distinct = ids.dropna().unique().tolist()
    if not distinct:
        return np.full((len(ids), 1), np.nan)
    values = model(features.of(distinct))
    places = ids.map(pd.Series(range(len(distinct)), distinct)).fillna(-1).astype(int)
    return np.pad(values, ((0, 1), (0, 0)), constant_values=np.nan)[places.to_numpy()]


def _table(task: BaselineTask, name: str, rows: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    numerator, denominator = task.contributions(scores, rows)
    return pd.DataFrame(
        {
            "sample_id": rows[SAMPLE_ID],
            "split": rows[SPLIT],
            "task": task.name,
            "baseline": name,
            "numerator": numerator,
            "denominator": denominator,
        }
    )
