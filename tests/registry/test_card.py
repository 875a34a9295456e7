"""What a card says, from facts."""

import pandas as pd
import pytest
from scipy.stats import binomtest

from components.register.card import (
    DESCRIPTION,
    Score,
    description,
    fullest,
    origin_of,
    scores,
    wilson,
)


@pytest.mark.parametrize(("right", "count"), [(0, 5), (1, 7), (37, 50), (9673, 9673), (640, 1000)])
def test_the_interval_is_wilson_s(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


METRICS = {
    "accuracy": {"kind": {"image": 0.5, "image+text": 0.75}},
    "mean_absolute_error": {"age": {"image": 3.0}},
    "r2": {"age": {"image": 0.1}},
    "median_rank": {"find": {"text→image": 4.0}},
    "zero_shot_accuracy": {"kind": {"image": 0.4}},
    "ceiling": {"kind": {"image": 1.0}},
    "slices": {"kind": {}},
}
PREDICTIONS = pd.DataFrame(
    [("kind", "image")] * 3 + [("kind", "image+text")] * 8 + [("age", "image")] * 5,
    columns=["task", "subset"],
)


def test_each_task_has_its_main_metric_with_the_number_of_samples():
    found = scores(METRICS, PREDICTIONS)
    assert found == [
        Score("kind", "accuracy", "image", 0.5, 3),
        Score("kind", "accuracy", "image+text", 0.75, 8),
        Score("age", "mean_absolute_error", "image", 3.0, 5),
        Score("find", "median_rank", "text→image", 4.0, None),
    ]
    assert [score.interval for score in found[2:]] == ["–", "–"]
    assert found[1].interval == "40.93% to 92.85%"
    assert fullest(found) == found[1:]


def test_a_card_that_is_too_long_is_cut_at_a_line_and_says_where_the_rest_is():
    assert description("short\n") == "short\n"
    long = description("".join(f"line {number}\n" for number in range(1000)))
    assert len(long) <= DESCRIPTION
    *lines, gap, rest = long.splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert gap == "" and rest == "The rest is in `model_card.md` of the run."


@pytest.mark.parametrize(
    ("encoder", "pretrained", "origin", "licence"),
    [
        ("convolutional", None, "taught here, from random weights", "that of the data"),
        ("resnet18", "mine.safetensors", "the file mine.safetensors", "not known here"),
        ("owner/name@" + "0" * 40, None, "the Hugging Face Hub", "not known here"),
        ("package:yaml/folder", None, "the package PyYAML", "MIT"),
        ("package:nowhere/folder", None, "the package nowhere", "not said by the package"),
    ],
)
def test_an_encoder_s_licence_is_told_as_far_as_it_is_known(encoder, pretrained, origin, licence):
    found = origin_of(encoder, pretrained)
    assert found[0] == origin and found[1].startswith(licence)
