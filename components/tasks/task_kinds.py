"""The kinds of task that a head can learn: one module a kind."""

from collections.abc import Mapping

from components.tasks.classification.head import Classification
from components.tasks.generation.head import Generation
from components.tasks.multilabel.head import Multilabel
from components.tasks.regression.head import Regression
from components.tasks.settings import TaskSettings
from components.tasks.task import Kind
from components.tasks.vqa.head import Vqa

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
