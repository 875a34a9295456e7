"""Metrics of small tables whose results can be counted by hand."""

import pandas as pd

from components.evaluate.measure import by_slice, ceiling, metrics, retrieval
from components.tasks.classification.head import Classification
from components.tasks.settings import TaskSettings

KINDS_OF = {"answer": Classification(["no", "yes"]), "shape": Classification(["x", "y"])}
SAMPLES = pd.DataFrame(
    {
        "sample_id": ["1", "2", "3", "4"],
        "image_id": ["A", "A", "A", "B"],
        "text_id": ["t", "t", "u", "t"],
        "audio_id": [None] * 4,
        "accent": ["us", "us", "uk", None],
    },
    dtype="str",
)
PREDICTIONS = pd.DataFrame(
    [
        # sample, subset, task, target, prediction
        ("1", "image", "answer", "yes", "yes"),
        ("2", "image", "answer", "no", "yes"),
        ("3", "image", "answer", "yes", "yes"),
        ("4", "image", "answer", "no", "yes"),
        ("1", "image+text", "answer", "yes", "yes"),
        ("2", "image+text", "answer", "no", "no"),
        ("3", "image+text", "answer", "yes", "no"),
        ("1", "image", "shape", "x", "x"),
    ],
    columns=["sample_id", "subset", "task", "target", "prediction"],
).assign(confidence=0.9)


def test_accuracy_by_task_and_subset():
    assert metrics(PREDICTIONS, KINDS_OF) == {
        "accuracy": {
            "answer": {"image": 2 / 4, "image+text": 2 / 3},
            "shape": {"image": 1.0},
        }
    }


def test_the_ceiling_is_the_most_frequent_label_of_the_same_assets():
    # image alone: A holds yes, no, yes (best 2), B holds no (1). With the text: (A, t) holds
    # yes and no (best 1), (A, u) holds yes (1).
    assert ceiling(PREDICTIONS, SAMPLES) == {
        "answer": {"image": 3 / 4, "image+text": 2 / 3},
        "shape": {"image": 1.0},
    }


def test_accuracy_by_slice_leaves_out_who_has_no_value():
    assert by_slice(PREDICTIONS, SAMPLES, ["accent"], KINDS_OF) == {
        "answer": {
            "accent": {
                "uk": {"image": 1.0, "image+text": 0.0},
                "us": {"image": 1 / 2, "image+text": 1.0},
            }
        },
        "shape": {"accent": {"us": {"image": 1.0}}},
    }
    assert by_slice(PREDICTIONS, SAMPLES, [], KINDS_OF) == {}


def test_columns_of_the_user_may_have_the_names_of_ours():
    """`target`, `task` and the like are likely names of a label's or slice's column."""
    named = SAMPLES.assign(target="a", prediction="b", subset="c", task=["p", "p", "q", "q"])
    assert ceiling(PREDICTIONS, named) == ceiling(PREDICTIONS, SAMPLES)
    found = by_slice(PREDICTIONS, named, ["task", "target"], KINDS_OF)
    assert found["answer"]["task"]["p"] == {"image": 1 / 2, "image+text": 1.0}
    assert found["answer"]["target"] == {"a": {"image": 2 / 4, "image+text": 2 / 3}}


def test_nothing_predicted_is_nothing_measured():
    empty = PREDICTIONS[:0]
    assert metrics(empty, KINDS_OF) == {"accuracy": {}}
    assert ceiling(empty, SAMPLES) == by_slice(empty, SAMPLES, ["accent"], KINDS_OF) == {}


def test_retrieval_by_task_and_direction():
    find = TaskSettings(kind="retrieval", column="c", query="text", target="image", weight=1.0)
    hear = TaskSettings(kind="retrieval", column="c", query="audio", target="text", weight=1.0)
    ranks = pd.DataFrame({"task": ["find"] * 4 + ["hear"], "rank": [1, 12, 2, 6, 3]})
    assert retrieval(ranks, {"hear": hear, "find": find, "never_asked": hear}) == {
        "recall_at_1": {"find": {"text→image": 0.25}, "hear": {"audio→text": 0.0}},
        "recall_at_5": {"find": {"text→image": 0.5}, "hear": {"audio→text": 1.0}},
        "recall_at_10": {"find": {"text→image": 0.75}, "hear": {"audio→text": 1.0}},
        "median_rank": {"find": {"text→image": 4.0}, "hear": {"audio→text": 3.0}},
    }
    assert retrieval(ranks[:0], {"find": find}) == {}
