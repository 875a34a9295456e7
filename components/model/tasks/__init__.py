"""The kinds of task that a head can learn: one module a kind."""

from collections.abc import Mapping

from components.config.tasks import TaskSettings
from components.model.tasks.classification import Classification
from components.model.tasks.generation import Generation
from components.model.tasks.kind import Kind
from components.model.tasks.multilabel import Multilabel
from components.model.tasks.regression import Regression
from components.model.tasks.vqa import Vqa

KINDS: dict[str, type[Kind]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
    "vqa": Vqa,
    "generation": Generation,
}


def with_heads(tasks: Mapping[str, TaskSettings]) -> dict[str, TaskSettings]:
    """Those of the tasks that a head learns: not retrieval, which the align stage learns."""
    return {name: task for name, task in tasks.items() if task.kind in KINDS}
