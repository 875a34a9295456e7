"""The kinds of task that a head can learn: one module a kind."""

from components.model.tasks.classification import Classification
from components.model.tasks.kind import Kind
from components.model.tasks.multilabel import Multilabel
from components.model.tasks.regression import Regression
from components.model.tasks.vqa import Vqa

KINDS: dict[str, type[Kind]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
    "vqa": Vqa,
}
