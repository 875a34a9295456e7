"""Stage `ingest`: a source becomes samples, media shards, a quarantine and a vocabulary."""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from components.config.command import Stage, View
from components.config.settings import MODALITIES, Modality, TaskSettings
from components.ingest.checks import INSPECT
from components.ingest.checks.problem import Problem
from components.ingest.record import Media, Record
from components.ingest.sources import demo
from components.model.labels import LABELS
from components.model.labels.labels import Vocabulary
from components.store.errors import InputError
from components.store.files import write_json
from components.store.hashing import content_id
from components.store.shards import Asset, MediaWriter
from components.store.tables import QUARANTINE, SAMPLES, SPLITS, write_table

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Read a source into samples, media shards, a quarantine and a vocabulary.",
    inputs={},
    outputs={
        "samples": "Parquet, one row a sample: split, assets, labels",
        "media": "folder, one media shard set a modality",
        "quarantine": "Parquet, one row for each row of the source that cannot be used, and why",
        "vocabulary": "JSON, what was learnt of each task's labels",
        "report": "JSON, what is in the data",
    },
    params=("seed", "workers", "ingest", "tasks"),
)

SOURCES: dict[str, Callable[[View], Iterator[Record]]] = {
    "demo": lambda settings: demo.read(
        settings.ingest.demo,
        settings.ingest.splits,
        settings.seed,
        settings.workers,
    ),
}


@dataclass
class Library:
    """The assets met so far; each file is read, checked and stored once."""

    folder: Path
    ids: dict[tuple[Modality, str], str] = field(default_factory=dict)
    bad: dict[tuple[Modality, str], tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self):
        self.writers = {modality: MediaWriter(self.folder / modality) for modality in MODALITIES}
        self._stored: set[tuple[Modality, str]] = set()

    def take(self, modality: Modality, media: Media) -> None:
        """Read and check a file, and store it if its content is new."""
        key = (modality, media.key)
        if key in self.ids or key in self.bad:
            return
        try:
            content = media.load()
        except OSError as error:
            self.bad[key] = ("file_unreadable", f"the file cannot be read: {error.strerror}")
            return
        found = INSPECT[modality](content)
        if isinstance(found, Problem):
            self.bad[key] = (found.reason, found.detail)
            return
        asset_id = content_id(content)
        self.ids[key] = asset_id
        if (modality, asset_id) not in self._stored:
            self._stored.add((modality, asset_id))
            self.writers[modality].add(Asset(asset_id, content))


def ingest(
    records: Iterable[Record], columns: list[str], media: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Store the media of `records` and give (samples, quarantine): every row is in one of them.

    Args:
        records: the rows of a source.
        columns: the columns to keep: labels of tasks, and slices.
        media: the folder of the media shard sets.

    Raises:
        InputError: a column is in no row of the source.
    """
    library = Library(media)
    samples, quarantine, found = [], [], set()
    for record in tqdm(records, "ingest", unit="row", disable=None):
        found |= record.columns.keys()
        for modality, file in record.media.items():
            library.take(modality, file)
        bad = [(m, file) for m, file in record.media.items() if (m, file.key) in library.bad]
        if bad:
            reasons = [library.bad[m, file.key] for m, file in bad]
            detail = "; ".join(sentence for _, sentence in reasons)
            quarantine.append((record.line, bad[0][1].key, reasons[0][0], detail))
            continue
        assets = {
            f"{m}_id": library.ids[m, record.media[m].key] if m in record.media else None
            for m in MODALITIES
        }
        labels = {column: record.columns.get(column) for column in columns}
        samples.append({"sample_id": record.line, "split": record.split, **assets, **labels})
    if missing := [column for column in columns if column not in found]:
        raise InputError(
            f"params.yaml names columns that the source does not have: {', '.join(missing)}. "
            f"It has: {', '.join(sorted(found))}. Mend tasks.*.column or ingest.slices"
        )
    for writer in library.writers.values():
        writer.close()
    return (
        pd.DataFrame(samples, columns=[*SAMPLES.columns, *columns], dtype="str"),
        pd.DataFrame(quarantine, columns=list(QUARANTINE.columns), dtype="str"),
    )


def learn_vocabulary(
    samples: pd.DataFrame, tasks: dict[str, TaskSettings]
) -> dict[str, Vocabulary]:
    """What each task has to remember of its labels in training.

    Raises:
        InputError: they do not suffice to learn the task.
    """
    training = samples[samples["split"] == "train"]
    vocabulary = {}
    for name, task in tasks.items():
        learner = LABELS[task.kind].Learner(name, task)
        for label in training[task.column].dropna():
            learner.add(label)
        vocabulary[name] = learner.finish()
    return vocabulary


def quarantine_unknown_labels(
    samples: pd.DataFrame, vocabulary: dict[str, Vocabulary], tasks: dict[str, TaskSettings]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split off the samples whose label cannot be used with what was learnt in training."""
    rows = []
    for name, task in tasks.items():
        labels = LABELS[task.kind](**vocabulary[name])
        known = samples[samples[task.column].notna()]
        for line, label in zip(known["sample_id"], known[task.column], strict=True):
            if problem := labels.problem(label):
                rows.append((line, None, problem.reason, f"tasks.{name}: {problem.detail}"))
    unknown = pd.DataFrame(rows, columns=list(QUARANTINE.columns), dtype="str")
    unknown = unknown.drop_duplicates("source_line")
    return samples[~samples["sample_id"].isin(unknown["source_line"])], unknown


def refuse_bad_source(quarantine: pd.DataFrame, rows: int, limit: float) -> None:
    """Stop if more than the share `limit` of the rows is bad, or every one.

    Raises:
        InputError: names the ten most common reasons.
    """
    if len(quarantine) > limit * rows or len(quarantine) == rows:
        reasons = Counter(quarantine["reason"]).most_common(10)
        example = quarantine.iloc[0]
        raise InputError(
            f"{len(quarantine)} of {rows} rows of the source are bad, ingest.max_bad_fraction "
            f"allows {limit:.2%}. Reasons: {', '.join(f'{r} ({n})' for r, n in reasons)}. "
            f"First: row {example['source_line']}, {example['asset']}: {example['detail']}"
        )


def describe(
    samples: pd.DataFrame, quarantine: pd.DataFrame, tasks: dict[str, TaskSettings]
) -> dict:
    """What is in the data: rows and distinct assets by split, classes by task, quarantine."""
    by_split = {split: samples[samples["split"] == split] for split in SPLITS}
    return {
        "samples": {split: len(rows) for split, rows in by_split.items()},
        "assets": {
            split: {m: int(rows[f"{m}_id"].nunique()) for m in MODALITIES}
            for split, rows in by_split.items()
        },
        "classes": {
            name: {
                split: rows[task.column].value_counts().sort_index().to_dict()
                for split, rows in by_split.items()
            }
            for name, task in tasks.items()
        },
        "quarantine": dict(sorted(Counter(quarantine["reason"]).items())),
    }


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    tasks = settings.tasks
    columns = list(dict.fromkeys([*(t.column for t in tasks.values()), *settings.ingest.slices]))
    records = SOURCES[settings.ingest.source](settings)
    samples, quarantine = ingest(records, columns, arguments.media)
    rows = len(samples) + len(quarantine)
    refuse_bad_source(quarantine, rows, settings.ingest.max_bad_fraction)
    vocabulary = learn_vocabulary(samples, tasks)
    samples, unknown = quarantine_unknown_labels(samples, vocabulary, tasks)
    quarantine = pd.concat([quarantine, unknown])
    refuse_bad_source(quarantine, rows, settings.ingest.max_bad_fraction)
    write_table(arguments.samples, samples, SAMPLES)
    write_table(arguments.quarantine, quarantine, QUARANTINE)
    write_json(arguments.vocabulary, vocabulary)
    report = describe(samples, quarantine, tasks)
    write_json(arguments.report, report)
    counts = ", ".join(f"{count} {split}" for split, count in report["samples"].items())
    log.info("%d samples (%s), %d rows in quarantine", len(samples), counts, len(quarantine))


if __name__ == "__main__":
    STAGE.run(work)
