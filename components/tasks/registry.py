"""The registry of task kinds, and loaders of the parts of their folders.

Adding a kind is one folder and one name here. Kinds without a head have settings and labels alone.
"""

import re
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from components.common.plugins import has_part, load_part
from components.modalities.registry import encoder_losses
from components.stage.settings import OneOf
from components.tasks.names import confidence_column
from components.tasks.settings import HeadTaskSettings, TaskSettings, balance_of

if TYPE_CHECKING:
    from components.tasks.baseline import Baseline
    from components.tasks.labels import Labels
    from components.tasks.metrics import TaskMetrics
    from components.tasks.task import Task

KINDS = ("classification", "multilabel", "regression", "vqa", "generation", "retrieval")


def settings_of(kind: str) -> "type[TaskSettings]":
    """Return the options of a kind."""
    return load_part("components.tasks", kind, "settings").SETTINGS


def labels_of(kind: str) -> "type[Labels]":
    """Return the labels of a kind, without torch."""
    return load_part("components.tasks", kind, "labels").LABELS


def head_of(kind: str) -> "type[Task]":
    """Return what a head of a kind learns."""
    return load_part("components.tasks", kind, "head").TASK


def metrics_of(kind: str) -> "type[TaskMetrics]":
    """Return the metrics of predictions of a kind."""
    return load_part("components.tasks", kind, "metrics").METRICS


def baseline_of(kind: str) -> "type[Baseline] | None":
    """Return the baseline of a kind; None if it has none."""
    if not has_part("components.tasks", kind, "baseline"):
        return None
    return load_part("components.tasks", kind, "baseline").BASELINE


def plot_of(kind: str) -> ModuleType:
    """Return the module that plots a kind: `plot(rows, labels, title)`; `NAME`, what it shows."""
    return load_part("components.tasks", kind, "plot")


def _check(tasks: dict[str, TaskSettings]) -> dict[str, TaskSettings]:
    """Check that a head is learnt, and the names, which become those of heads and columns."""
    if not with_heads(tasks):
        raise ValueError(
            "all are of kind retrieval, which the stage align learns; later stages train and "
            "evaluate heads, so declare a task of another kind too"
        )
    if odd := [name for name in tasks if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)]:
        raise ValueError(
            f"found {odd}: a name consists of letters, digits, _ and -, and begins with a letter "
            "or a digit"
        )
    confidences = set(map(confidence_column, tasks))
    if clash := sorted((encoder_losses() | confidences) & tasks.keys()):
        raise ValueError(f"found {clash}: these names are reserved; rename the tasks")
    sampled = [name for name, task in tasks.items() if balance_of(task) == "sampling"]
    if len(sampled) > 1:
        raise ValueError(
            f"balance is sampling for {', '.join(sampled)}: a batch can draw the classes of one "
            "task equally often. Set balance: weights for the others"
        )
    return tasks


_OPTIONS = OneOf({kind: settings_of(kind) for kind in KINDS}, default="classification")
Tasks = Annotated[
    dict[str, Annotated[TaskSettings, _OPTIONS]], Field(min_length=1), AfterValidator(_check)
]


def with_heads(tasks: Mapping[str, TaskSettings]) -> dict[str, HeadTaskSettings]:
    """Return the tasks that a head learns."""
    return {name: task for name, task in tasks.items() if isinstance(task, HeadTaskSettings)}
