"""The kinds of task as far as labels go, without torch: one module a kind."""

from components.tasks.classification.labels import ClassLabels
from components.tasks.generation.labels import TextLabels
from components.tasks.labels import Labels
from components.tasks.multilabel.labels import ClassSetLabels
from components.tasks.regression.labels import NumberLabels
from components.tasks.retrieval.labels import ValueLabels
from components.tasks.vqa.labels import AnswerLabels

LABELS: dict[str, type[Labels]] = {
    "classification": ClassLabels,
    "multilabel": ClassSetLabels,
    "regression": NumberLabels,
    "vqa": AnswerLabels,
    "generation": TextLabels,
    "retrieval": ValueLabels,
}
