"""Conflicts: assets with several labels of a task that their modality is said to decide."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, asset_column
from components.data.settings import OnConflict
from components.data.tables import count_rows
from components.ingest.ledger import Ledger
from components.ingest.records import BadRow
from components.tasks.registry import labels_of, with_heads
from components.tasks.settings import ClassTaskSettings, HeadTaskSettings, TaskSettings

log = logging.getLogger(__name__)

MAX_LISTED = 10  # per task and modality in a message
MAX_SHOWN = 50  # in the data report
MAX_FRACTION = 0.1  # of the labelled assets; with more, the modality does not decide the task
WHAT_HAPPENS = {
    "majority": "its encoder learns the most frequent label of each, or none if there is a tie",
    "soft": "its encoder learns how often it has each",
    "quarantine": "the samples with those labels go to quarantine",
}


@dataclass(frozen=True)
class Conflict:
    """The assets of a modality with several labels of a task."""

    task: str
    column: str
    modality: str
    count: int
    labelled: int  # assets with a label
    first: Mapping[str, list[str]]  # asset → its labels
    policy: OnConflict  # what happens with them

    def __str__(self) -> str:
        cases = ", ".join(
            f"{asset[:12]} has {' and '.join(map(repr, labels))}"
            for asset, labels in list(self.first.items())[:MAX_LISTED]
        )
        more = ", …" if self.count > MAX_LISTED else ""
        return (
            f"tasks.{self.task}: {self.count} of {self.labelled} {self.modality} assets have "
            f"several labels in column {self.column!r} ({cases}{more})"
        )


def find_conflicts(
    samples: Path, tasks: Mapping[str, TaskSettings], ledger: Ledger, policy: OnConflict
) -> list[Conflict]:
    """Return the conflicts of samples, all of which are named in the log; record their labels.

    Raises:
        InputError: there are some and the policy is `error`; or it is `majority`, which numbers
            have in place of `soft`, and so many that the modality cannot be said to decide the
            task.
    """
    _record_labels(samples, tasks, ledger)
    found = []
    for name, task, m in _decided(tasks):
        count, first = ledger.conflicts(name, m, MAX_SHOWN)
        if count:
            labelled = ledger.labelled(name, m)
            is_soft = policy == "soft" and isinstance(task, ClassTaskSettings)
            own = "majority" if policy == "soft" and not is_soft else policy
            found.append(Conflict(name, task.column, m, count, labelled, first, own))
    limits = {"error": 0.0, "majority": MAX_FRACTION}
    if refused := [c for c in found if c.count > limits.get(c.policy, 1.0) * c.labelled]:
        raise _refusal(refused, policy)
    for conflict in found:
        log.warning("%s; %s", conflict, WHAT_HAPPENS[conflict.policy])
    return found


def _record_labels(samples: Path, tasks: Mapping[str, TaskSettings], ledger: Ledger) -> None:
    for name, task, m in _decided(tasks):
        for (asset, label), _ in count_rows(samples, asset_column(m), task.column):
            if asset is not None and label is not None:
                ledger.add_label(name, m, asset, labels_of(task.kind).to_text(label))


def _refusal(found: list[Conflict], policy: OnConflict) -> InputError:
    lines = "\n".join(f"  {conflict}" for conflict in found)
    ways = {"error": "majority, soft or quarantine", "majority": "soft or quarantine"}
    return InputError(
        "a modality in sufficient_modalities alone decides the label, so that (nearly) all of its "
        f"assets have one label; ingest.on_conflict is {policy}:\n{lines}\n"
        "Correct the labels, remove the modality from sufficient_modalities of the task, or set "
        f"ingest.on_conflict: {ways.get(policy, 'quarantine')}"
    )


def conflict(
    tasks: Mapping[str, TaskSettings], ledger: Ledger, sample: Mapping[str, Any]
) -> BadRow | None:
    """Return a sample as a bad row if one of its labels is not the only one of its asset."""
    for name, task, m in _decided(tasks):
        asset = sample[asset_column(m)]
        if asset is None or sample[task.column] is None:
            continue
        if len(labels := ledger.labels(name, m, asset)) > 1:
            detail = f"tasks.{name}: {m} {asset[:12]} has {' and '.join(map(repr, labels))}"
            return BadRow(sample[SAMPLE_ID], asset, "label_conflict", detail)
    return None


def _decided(tasks: Mapping[str, TaskSettings]) -> Iterator[tuple[str, HeadTaskSettings, str]]:
    """Yield each task with each modality whose assets have one label of it."""
    for name, task in with_heads(tasks).items():
        if not labels_of(task.kind).SEVERAL_RIGHT:
            yield from ((name, task, m) for m in task.sufficient_modalities)
