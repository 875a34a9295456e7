"""Facts on a model card: scores with intervals, weights and their licences."""

import pandas as pd
import pytest
from scipy.stats import binomtest

from components.common.metrics import DEFINITIONS, Figures, Metric, definitions
from components.model.folder import save_model
from components.model.predictor import Predictor
from components.register.card import (
    MAX_DESCRIPTION,
    Score,
    description,
    last_per_task,
    scores,
    weights_source,
)
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.classification.settings import ClassificationSettings
from components.tasks.regression.metrics import RegressionMetrics
from components.tasks.regression.settings import RegressionSettings
from components.tasks.retrieval.metrics import RETRIEVAL_METRICS
from tests.support.tiny_model import build_model, make_processors

FIGURES = Figures(
    {
        "accuracy": {"breed": {"image": 0.5, "image-text": 0.75}},
        "mean_absolute_error": {"age": {"image": 3.0}},
        "r2": {"age": {"image": 0.1}},
        "recall_at_1": {"find": {"text to image": 0.25}},
        "median_rank": {"find": {"text to image": 4.0}},
        "zero_shot_accuracy": {"breed": {"image": 0.4}},
        "ceiling": {"breed": {"image": 1.0}},
        "slices": {"breed": {}},
        DEFINITIONS: definitions(
            [
                *(*ClassificationMetrics.DEFINITIONS, *RegressionMetrics.DEFINITIONS),
                *(*RETRIEVAL_METRICS, Metric("zero_shot_accuracy")),
            ]
        ),
    }
)
PREDICTIONS = pd.DataFrame(
    [("breed", "image")] * 3 + [("breed", "image-text")] * 8 + [("age", "image")] * 5,
    columns=["task", "subset"],
)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    """A model with a task of each of two kinds."""
    folder = tmp_path_factory.mktemp("model")
    tasks = {
        "breed": ClassificationSettings(column="breed"),
        "age": RegressionSettings(column="age"),
    }
    vocabulary = {"breed": {"classes": ["a", "b"]}, "age": {"mean": 3.0, "deviation": 1.0}}
    save_model(folder, build_model(tasks, vocabulary), make_processors())
    return Predictor(folder)


def test_score_is_the_primary_metric_with_its_samples(predictor):
    found = scores(FIGURES, PREDICTIONS, predictor)
    accuracy, error = ClassificationMetrics.primary(), RegressionMetrics.primary()
    assert found == [
        Score("breed", accuracy, "image", 0.5, 3, True),
        Score("breed", accuracy, "image-text", 0.75, 8, True),
        Score("age", error, "image", 3.0, 5, False),
        Score("find", RETRIEVAL_METRICS[0], "text to image", 0.25, None, False),
    ]
    assert [score.interval for score in found[2:]] == ["–", "–"]
    assert [score.shown for score in found] == ["50.00%", "75.00%", "3", "25.00%"]
    assert found[1].interval == "40.93% to 92.85%"
    assert last_per_task(found) == found[1:]


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 8), (7, 7), (9601, 9673)])
def test_interval_is_wilsons(right, count):
    score = Score("breed", ClassificationMetrics.primary(), "image", right / count, count, True)
    low, high = binomtest(right, count).proportion_ci(method="wilson")
    assert score.interval == f"{low:.2%} to {high:.2%}"


def test_long_card_is_cut_at_a_line():
    """And says where the rest is."""
    assert description("short\n") == "short\n"
    long = description("".join(f"line {number}\n" for number in range(1000)))
    assert len(long) <= MAX_DESCRIPTION
    *rows, gap, rest = long.splitlines()
    assert rows == [f"line {number}" for number in range(len(rows))] and len(rows) > 100
    assert gap == "" and rest == "The rest is in `model_card.md` of the run."


@pytest.mark.parametrize(
    ("encoder", "pretrained", "origin", "licence"),
    [
        ("convolutional", None, "trained here from random weights", "that of the data"),
        ("resnet18", "mine.safetensors", "the file mine.safetensors", "unknown: that of the file"),
        ("owner/name@" + "0" * 40, None, "the Hugging Face Hub", "unknown: see the model's page"),
        ("package:yaml/folder", None, "the package PyYAML", "MIT"),
        ("package:nowhere/folder", None, "the package nowhere", "not stated by the package"),
    ],
)
def test_licence_of_weights_is_told_as_far_as_known(encoder, pretrained, origin, licence):
    assert weights_source(encoder, pretrained) == (origin, licence)
