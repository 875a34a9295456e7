"""Metrics of small tables whose results can be counted by hand."""

import pandas as pd

from components.common.metrics import DEFINITIONS, SLICES, Figures, Metric
from components.evaluate.measure import (
    CEILING,
    by_slice,
    by_task,
    ceilings,
    contributions,
    figures,
    most_modalities,
    retrieval,
)
from components.tasks.classification.labels import ClassLabels
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.regression.labels import NumberLabels
from components.tasks.regression.metrics import RegressionMetrics
from components.tasks.retrieval.settings import RetrievalSettings

METRICS = {
    "answer": ClassificationMetrics(ClassLabels(["no", "yes"])),
    "shape": ClassificationMetrics(ClassLabels(["x", "y"])),
}
SIZE = {"size": RegressionMetrics(NumberLabels(mean=0.0, deviation=1.0))}
SAMPLES = pd.DataFrame(
    {
        "sample_id": ["1", "2", "3", "4"],
        "image_id": ["A", "A", "A", "B"],
        "text_id": ["t", "t", "u", "t"],
        "audio_id": [None] * 4,
        "tabular_id": [None] * 4,
        "accent": ["us", "us", "uk", None],
    },
    dtype="str",
)
COLUMNS = ["sample_id", "subset", "task", "target", "prediction"]
PREDICTIONS = pd.DataFrame(
    [
        ("1", "image", "answer", "yes", "yes"),
        ("2", "image", "answer", "no", "yes"),
        ("3", "image", "answer", "yes", "yes"),
        ("4", "image", "answer", "no", "yes"),
        ("1", "image-text", "answer", "yes", "yes"),
        ("2", "image-text", "answer", "no", "no"),
        ("3", "image-text", "answer", "yes", "no"),
        ("1", "image", "shape", "x", "x"),
    ],
    columns=COLUMNS,
).assign(confidence=0.9)
SIZES = pd.DataFrame(
    [("1", "image", "size", "2.0", "3.0"), ("3", "image", "size", "1.0", "1.5")], columns=COLUMNS
).assign(confidence=float("nan"))


def test_accuracy_by_task_and_subset():
    assert by_task(PREDICTIONS, METRICS) == {
        "accuracy": {
            "answer": {"image": 2 / 4, "image-text": 2 / 3},
            "shape": {"image": 1.0},
        },
        "macro_f1": {
            "answer": {"image": 1 / 3, "image-text": 2 / 3},
            "shape": {"image": 1.0},
        },
    }


def test_ceiling_is_the_most_frequent_label_of_equal_assets():
    # image alone: A has yes, no, yes (best 2), B has no (1). With the text: (A, t) has yes and no
    # (best 1), (A, u) has yes (1).
    assert ceilings(PREDICTIONS, SAMPLES, METRICS) == {
        "answer": {"image": 3 / 4, "image-text": 2 / 3},
        "shape": {"image": 1.0},
    }


def test_only_fractions_of_equal_labels_have_a_ceiling():
    both = pd.concat([PREDICTIONS, SIZES])
    assert set(ceilings(both, SAMPLES, METRICS | SIZE)) == {"answer", "shape"}


def test_slices_leave_out_samples_without_value():
    assert by_slice(PREDICTIONS, SAMPLES, ["accent"], METRICS) == {
        "answer": {
            "accent": {
                "uk": {"image": 1.0, "image-text": 0.0},
                "us": {"image": 1 / 2, "image-text": 1.0},
            }
        },
        "shape": {"accent": {"us": {"image": 1.0}}},
    }
    assert by_slice(PREDICTIONS, SAMPLES, [], METRICS) == {}


def test_slices_have_the_primary_metric():
    assert by_slice(SIZES, SAMPLES, ["accent"], SIZE) == {
        "size": {"accent": {"us": {"image": 1.0}, "uk": {"image": 0.5}}}
    }


def test_columns_of_users_may_have_our_names():
    """`target`, `task` and the like are likely names of the column of a label or slice."""
    named = SAMPLES.assign(target="a", prediction="b", subset="c", task=["p", "p", "q", "q"])
    assert ceilings(PREDICTIONS, named, METRICS) == ceilings(PREDICTIONS, SAMPLES, METRICS)
    found = by_slice(PREDICTIONS, named, ["task", "target"], METRICS)
    assert found["answer"]["task"]["p"] == {"image": 1 / 2, "image-text": 1.0}
    assert found["answer"]["target"] == {"a": {"image": 2 / 4, "image-text": 2 / 3}}


def test_no_predictions_give_no_figures():
    empty = PREDICTIONS[:0]
    assert by_task(empty, METRICS) == ceilings(empty, SAMPLES, METRICS) == {}
    assert by_slice(empty, SAMPLES, ["accent"], METRICS) == {}
    assert contributions(empty, METRICS).empty


def test_figures_carry_their_definitions():
    both = pd.concat([PREDICTIONS, SIZES])
    other = Metric("zero_shot_accuracy")
    content = figures(
        *(both, SAMPLES, ["accent"], METRICS | SIZE),
        others={"zero_shot_accuracy": {"answer": {"image": 0.5}}},
        other_metrics=[other, Metric("median_rank")],
    )
    found = Figures(content)
    of_heads = ["accuracy", "macro_f1", "mean_absolute_error", "r2"]
    assert list(found.metrics) == [*of_heads, "zero_shot_accuracy"]
    assert list(content)[-3:] == [CEILING, SLICES, DEFINITIONS]
    assert found.primary("answer") == ClassificationMetrics.primary()
    assert found.primary("size") == RegressionMetrics.primary()
    assert found.metric("slices/size/accent/us/image") == RegressionMetrics.primary()
    assert found.by_name()["slices/size/accent/us/image"] == 1.0


def test_contributions_make_up_the_metric():
    found = contributions(PREDICTIONS, METRICS)
    sums = found.groupby(["task", "subset"])[["numerator", "denominator"]].sum()
    values = (sums["numerator"] / sums["denominator"]).to_dict()
    assert values == {
        ("answer", "image"): 2 / 4,
        ("answer", "image-text"): 2 / 3,
        ("shape", "image"): 1.0,
    }


def test_prediction_from_the_most_modalities():
    best = most_modalities(PREDICTIONS)
    rows = zip(best["sample_id"], best["task"], best["subset"], strict=True)
    assert sorted(rows) == [
        *(("1", "answer", "image-text"), ("1", "shape", "image"), ("2", "answer", "image-text")),
        *(("3", "answer", "image-text"), ("4", "answer", "image")),
    ]


def test_retrieval_by_task_and_direction():
    find = RetrievalSettings(column="c", query="text", target="image")
    hear = RetrievalSettings(column="c", query="audio", target="text")
    ranks = pd.DataFrame({"task": ["find"] * 4 + ["hear"], "rank": [1, 12, 2, 6, 3]})
    assert retrieval(ranks, {"hear": hear, "find": find, "without_queries": hear}) == {
        "recall_at_1": {"find": {"text to image": 0.25}, "hear": {"audio to text": 0.0}},
        "recall_at_5": {"find": {"text to image": 0.5}, "hear": {"audio to text": 1.0}},
        "recall_at_10": {"find": {"text to image": 0.75}, "hear": {"audio to text": 1.0}},
        "median_rank": {"find": {"text to image": 4.0}, "hear": {"audio to text": 3.0}},
    }
    assert retrieval(ranks[:0], {"find": find}) == {}
