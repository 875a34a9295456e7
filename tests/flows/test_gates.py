"""Which models the gates let through."""

import pytest

from components.common.errors import InputError
from components.config.promote import PromoteSettings
from components.tasks import labels
from flows import gates as module
from flows.gates import judge
from flows.promote import table

NONE = {
    "alias": "champion",
    "suite": "quick",
    "minimum": None,
    "maximum_drop": None,
    "require": "not_worse",
    "confidence": 0.95,
    "maximum_latency_ms": None,
    "maximum_size_mb": None,
    "maximum_robustness_drop": None,
}
EXAM = {
    "metrics": {
        "accuracy": {"answer": {"image": 0.5, "image+text": 0.9}},
        "mean_absolute_error": {"size": {"image": 2.0}},
    },
    "slices": {"answer": {"accent": {"en": {"image": 0.4}}}},
    "compared": {"answer": "accuracy", "size": "mean_absolute_error"},
    "latency": {"single": {"median_ms": 5.0, "p95_ms": 8.0}},
    "size_bytes": 2_500_000,
    "robustness": {
        "image": {
            "answer": {"image": {"clean": 0.5, "corrupted": 0.25}},
            "size": {"image": {"clean": 2.0, "corrupted": 3.0}},
        }
    },
}
ROW = {
    "metric": "accuracy/answer/image+text", "units": 100, "challenger": 0.9, "champion": 0.8,
    "drop": -0.1, "margin": 0.01, "p_within": 0.001, "p_better": 0.2,
}  # fmt: skip


def settings(**changes) -> PromoteSettings:
    return PromoteSettings(**NONE | changes)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ({"minimum": {"accuracy/answer/image+text": 0.9}}, True),
        ({"minimum": {"accuracy/answer/image+text": 0.91}}, False),
        ({"minimum": {"mean_absolute_error/size/image": 2.0}}, True),
        ({"minimum": {"mean_absolute_error/size/image": 1.9}}, False),
        ({"minimum": {"slices/answer/accent/en/image": 0.4}}, True),
        ({"minimum": {"slices/answer/accent/en/image": 0.41}}, False),
        ({"maximum_latency_ms": 8.0}, True),
        ({"maximum_latency_ms": 7.9}, False),
        ({"maximum_size_mb": 2.5}, True),
        ({"maximum_size_mb": 2.4}, False),
        ({"maximum_robustness_drop": {"image/answer/image": 0.25}}, True),
        ({"maximum_robustness_drop": {"image/answer/image": 0.24}}, False),
        ({"maximum_robustness_drop": {"image/size/image": 1.0}}, True),
        ({"maximum_robustness_drop": {"image/size/image": 0.9}}, False),
    ],
    ids=str,
)
def test_a_gate_has_one_side_that_passes(gate, passed):
    (found,) = judge(settings(**gate), EXAM)
    assert found.passed == passed and found.champion is None
    (again,) = judge(settings(**gate), EXAM, EXAM)
    assert (again.found, again.passed, again.champion) == (found.found, passed, found.found)


def test_what_is_null_is_no_gate():
    assert judge(settings(), EXAM) == judge(settings(), EXAM, EXAM) == []


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, [True, False]),
        ({"p_better": 0.04}, [True, True]),
        ({"p_within": 0.06}, [False, False]),
        ({"p_better": 0.06}, [True, False]),
    ],
    ids=str,
)
def test_the_champion_is_beaten_only_for_sure(changes, passed):
    options = {"maximum_drop": {ROW["metric"]: 0.01}}
    rows = [ROW | changes, ROW | {"metric": "other", "p_better": 0.9}]
    found = judge(settings(**options, require="better"), EXAM, EXAM, rows)
    assert [gate.passed for gate in found if "other" not in gate.name] == passed
    found = judge(settings(**options), EXAM, EXAM, rows[:1])
    assert [gate.passed for gate in found] == passed[:1]


def test_the_first_champion_has_to_beat_none():
    options = settings(maximum_drop={ROW["metric"]: 0.01}, require="better")
    assert judge(options, EXAM) == []


@pytest.mark.parametrize("key", ["minimum", "maximum_robustness_drop"])
def test_a_metric_that_there_is_not_is_refused_with_the_nearest(key):
    name = "accuracy/answer/imag" if key == "minimum" else "imge/answer/image"
    with pytest.raises(
        InputError, match=f"promote.{key}: there is no '{name}'.*nearest: "
    ) as error:
        judge(settings(**{key: {name: 0.5}}), EXAM)
    assert str(error.value).split("nearest: ")[1].split(", ")[0] in (
        "accuracy/answer/image",
        "image/answer/image",
    )


def test_a_task_that_the_challenger_does_not_know_any_more_is_a_refusal():
    ours = EXAM | {"metrics": {"accuracy": {}}, "slices": {}, "robustness": {}}
    options = settings(
        minimum={"accuracy/answer/image": 0.1}, maximum_robustness_drop={"image/answer/image": 0.5}
    )
    found = judge(options, ours, EXAM)
    assert [(gate.found, gate.passed) for gate in found] == [(None, False)] * 2
    assert table(found).splitlines()[1].split()[:4] == [
        *("FAIL", "minimum", "accuracy/answer/image", "–")
    ]


def test_flows_know_the_same_errors_as_the_labels():
    assert set(module.ERRORS) == labels.ERRORS
