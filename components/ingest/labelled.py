"""Whether what is learnt can be measured: said before anything is trained."""

import logging
from collections.abc import Mapping
from typing import Any

from components.common.errors import InputError
from components.data.samples import HeldOutSplit

log = logging.getLogger(__name__)

WAYS_OUT: dict[HeldOutSplit, str] = {
    "test": "Label samples of it; or set ingest.splits.test, such as 0.1, if the source says of "
    "no sample which split it is in; or set evaluate.split: validation, whose figures are too good",
    "validation": "Label samples of it, or set ingest.splits.validation, such as 0.1",
}


def check_labels(report: Mapping[str, Any], split: HeldOutSplit) -> None:
    """Warn of each task without a label in a held-out split.

    Args:
        report: what is in the data, with `samples`, `assets` and `labels`.
        split: the one that figures are of, `evaluate.split`.

    Raises:
        InputError: nothing at all could be measured on that split.
    """
    if problem := unmeasurable(report, split):
        raise InputError(
            f"{problem}, so nothing could be measured after training. {WAYS_OUT[split]}"
        )
    counted = report["samples"]
    if counted["train"] < counted[split]:
        log.warning(
            "only %d samples are for training, and %d in the %s split; a group "
            "(ingest.splits.group) may hold most of the rows",
            *(counted["train"], counted[split], split),
        )
    for task, counts in report["labels"].items():
        if not counts[split]:
            log.warning(
                "tasks.%s: no sample of the %s split has a label, so the task is trained but not "
                "measured, and no such model is promoted. %s",
                *(task, split, WAYS_OUT[split]),
            )
        elif not counts["validation"] and report["samples"]["validation"]:
            log.warning(
                "tasks.%s: no sample of the validation split has a label, so training cannot tell "
                "when the task is learnt. Give some of them labels",
                task,
            )


def unmeasurable(report: Mapping[str, Any], split: HeldOutSplit) -> str | None:
    """Return why nothing can be measured on a split, if so."""
    count, assets = report["samples"][split], report["assets"]
    if not count:
        return f"no sample is in the {split} split"
    learnt = [m for m, number in assets["train"].items() if number]
    if not any(assets[split][m] for m in learnt):
        return f"no sample of the {split} split has {' or '.join(learnt)}, as training samples have"
    if not any(counts[split] for counts in report["labels"].values()):
        tasks = ", ".join(report["labels"])
        return f"none of the {count} samples of the {split} split has a label of {tasks}"
    return None
