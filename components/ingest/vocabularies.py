"""Vocabularies: what the labels of each task in the training split teach."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, SPLIT
from components.data.tables import read_rows
from components.ingest.records import BadRow
from components.tasks.labels import Vocabulary
from components.tasks.registry import labels_of
from components.tasks.settings import TaskSettings

Tasks = Mapping[str, TaskSettings]


def learn_vocabularies(samples: Path, tasks: Tasks) -> dict[str, Vocabulary]:
    """Return the vocabulary of each task; raise `InputError` if its labels do not suffice."""
    encoders = {name: labels_of(task.kind).Encoder(name, task) for name, task in tasks.items()}
    columns, rows = dict.fromkeys(task.column for task in tasks.values()), Counter[str]()
    for sample in read_rows(samples, SPLIT, *columns):
        rows[sample[SPLIT]] += 1
        if sample[SPLIT] == "train":
            for name, task in tasks.items():
                if (label := sample[task.column]) is not None:
                    encoders[name].add(label)
    if not rows["train"]:
        counts = ", ".join(f"{count} in {split}" for split, count in sorted(rows.items()))
        raise InputError(
            f"no sample is in the training split ({counts or 'none in any'}). Correct the source's "
            "splits; or lower ingest.splits.test, or choose smaller groups (ingest.splits.group)"
        )
    return {name: encoder.finish() for name, encoder in encoders.items()}


def label_check(
    vocabularies: Mapping[str, Vocabulary], tasks: Tasks
) -> Callable[[Mapping[str, Any]], BadRow | None]:
    """Return what makes a sample a bad row if the vocabularies do not suffice for its labels."""
    labels = {name: labels_of(task.kind)(**vocabularies[name]) for name, task in tasks.items()}

    def check(sample: Mapping[str, Any]) -> BadRow | None:
        for name, task in tasks.items():
            label = sample[task.column]
            if label is not None and (problem := labels[name].problem(label)):
                detail = f"tasks.{name}: {problem.detail}"
                return BadRow(sample[SAMPLE_ID], None, problem.reason, detail)
        return None

    return check
