"""The kinds of task as far as labels go, without torch: one module a kind."""

from components.model.labels.classification import ClassLabels
from components.model.labels.generation import TextLabels
from components.model.labels.labels import Labels
from components.model.labels.multilabel import ClassSetLabels
from components.model.labels.regression import NumberLabels
from components.model.labels.retrieval import ValueLabels
from components.model.labels.vqa import AnswerLabels

LABELS: dict[str, type[Labels]] = {
    "classification": ClassLabels,
    "multilabel": ClassSetLabels,
    "regression": NumberLabels,
    "vqa": AnswerLabels,
    "generation": TextLabels,
    "retrieval": ValueLabels,
}
