"""The registry of task kinds: which parts each kind has."""

import pytest

from components.tasks.classification.settings import ClassificationSettings
from components.tasks.registry import (
    KINDS,
    head_of,
    labels_of,
    metrics_of,
    plot_of,
    settings_of,
    with_heads,
)
from components.tasks.retrieval.settings import RetrievalSettings
from components.tasks.settings import HeadTaskSettings

HEADS = [kind for kind in KINDS if issubclass(settings_of(kind), HeadTaskSettings)]


@pytest.mark.parametrize("kind", HEADS)
def test_kind_with_a_head_has_every_part(kind):
    assert issubclass(head_of(kind), labels_of(kind))
    assert [metric.primary for metric in metrics_of(kind).DEFINITIONS].count(True) == 1
    assert metrics_of(kind).primary().primary
    assert callable(plot_of(kind).plot) and plot_of(kind).NAME


def test_retrieval_alone_has_no_head():
    assert set(KINDS) - set(HEADS) == {"retrieval"}
    search = RetrievalSettings(column="c", query="text", target="image")
    word = ClassificationSettings(column="c")
    assert with_heads({"a": word, "find": search, "b": word}) == {"a": word, "b": word}
