"""Which models pass the gates."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import InputError
from components.common.files import write_json
from components.common.metrics import DEFINITIONS, EVALUATED_SPLIT, Metric
from components.evaluate.evaluation.results import RESULTS, Evaluation
from flows.promotion.gates import Gate, judge
from flows.promotion.promotion import gate_table
from flows.settings import PromoteSettings

ACCURACY = Metric("accuracy", primary=True)
ERROR = Metric("mean_absolute_error", higher_is_better=False, unit="label", primary=True)
ABOVE = Metric("above_baseline", unit="score")
FIT = Metric("r2", unit="score")
ROW = {
    **{"metric": "accuracy/answer/image-text", "clusters": 100, "challenger": 0.9, "champion": 0.8},
    **{"drop": -0.1, "margin": 0.01, "p_within": 0.001, "p_better": 0.2},
}


def figures(*metrics: Metric) -> dict[str, Any]:
    """Return figures of a task per kind of metric: higher is better of `answer`, not of `size`."""
    accuracy, error = metrics
    return {
        accuracy.name: {"answer": {"image": 0.5, "image-text": 0.9}},
        error.name: {"size": {"image": 2.0}},
        FIT.name: {"size": {"image": 0.3}},
        ABOVE.name: {"answer": {"image": 0.02, "image-text": 0.1}, "size": {"image": -0.5}},
        "ceiling": {"answer": {"image": 1.0}},
        "slices": {
            "answer": {"accent": {"en": {"image": 0.4}}},
            "size": {"accent": {"en": {"image": 3.0}}},
        },
        DEFINITIONS: [asdict(metric) for metric in (accuracy, error, FIT, ABOVE)],
        EVALUATED_SPLIT: "test",
    }


def content(**changes) -> dict[str, Any]:
    """Return the content of the JSON file of an evaluation."""
    return {
        "figures": figures(ACCURACY, ERROR),
        "tasks": ["answer", "size"],
        "latency": {"single": {"median_ms": 5.0, "p95_ms": 8.0}},
        "size_bytes": 2_500_000,
        "robustness": {
            "image": {
                "answer": {"image": {"clean": 0.5, "corrupted": 0.25}},
                "size": {"image": {"clean": 2.0, "corrupted": 3.0}},
            }
        },
    } | changes


def write(folder: Path, **changes) -> Evaluation:
    """Write an evaluation."""
    write_json(folder / RESULTS, content(**changes))
    return Evaluation(folder)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> Evaluation:
    return write(tmp_path_factory.mktemp("evaluation"))


def settings(**changes) -> PromoteSettings:
    return PromoteSettings(**changes)


GATES = [
    ({"minimum": {"accuracy/answer/image-text": 0.9}}, "≥ 0.9", True),
    ({"minimum": {"accuracy/answer/image-text": 0.91}}, "≥ 0.91", False),
    ({"minimum": {"mean_absolute_error/size/image": 2.0}}, "≤ 2", True),
    ({"minimum": {"mean_absolute_error/size/image": 1.9}}, "≤ 1.9", False),
    ({"minimum": {"r2/size/image": 0.3}}, "≥ 0.3", True),
    ({"minimum": {"r2/size/image": 0.31}}, "≥ 0.31", False),
    ({"minimum": {"above_baseline/answer/image": 0.02}}, "≥ 0.02", True),
    ({"minimum": {"above_baseline/answer/image": 0.03}}, "≥ 0.03", False),
    ({"minimum": {"slices/answer/accent/en/image": 0.4}}, "≥ 0.4", True),
    ({"minimum": {"slices/answer/accent/en/image": 0.41}}, "≥ 0.41", False),
    ({"minimum": {"slices/size/accent/en/image": 3.0}}, "≤ 3", True),
    ({"minimum": {"slices/size/accent/en/image": 2.9}}, "≤ 2.9", False),
    ({"maximum_latency_ms": 8.0}, "≤ 8", True),
    ({"maximum_latency_ms": 7.9}, "≤ 7.9", False),
    ({"maximum_size_mb": 2.5}, "≤ 2.5", True),
    ({"maximum_size_mb": 2.4}, "≤ 2.4", False),
    ({"maximum_robustness_drop": {"image/answer/image": 0.25}}, "≤ 0.25", True),
    ({"maximum_robustness_drop": {"image/answer/image": 0.24}}, "≤ 0.24", False),
    ({"maximum_robustness_drop": {"image/size/image": 1.0}}, "≤ 1", True),
    ({"maximum_robustness_drop": {"image/size/image": 0.9}}, "≤ 0.9", False),
]


@pytest.mark.parametrize(("gate", "bound", "passed"), GATES, ids=str)
def test_gate_passes_on_one_side_only(evaluation, gate, bound, passed):
    (found,) = judge(settings(**gate), evaluation)
    assert (found.bound, found.passed, found.champion) == (bound, passed, None)
    (again,) = judge(settings(**gate), evaluation, evaluation)
    assert (again.found, again.passed, again.champion) == (found.found, passed, found.found)


@pytest.mark.parametrize(("gate", "bound", "passed"), GATES, ids=str)
def test_direction_comes_from_the_definition(tmp_path, gate, bound, passed):
    """Another name for each metric, that of the other one among them, changes no decision."""
    accuracy = Metric("mean_absolute_error", primary=True)
    error = Metric("accuracy", higher_is_better=False, unit="label", primary=True)
    renamed = write(tmp_path, figures=figures(accuracy, error))
    names = {"accuracy": "mean_absolute_error", "mean_absolute_error": "accuracy"}
    ((key, value),) = gate.items()
    if isinstance(value, dict):
        ((name, limit),) = value.items()
        metric, _, rest = name.partition("/")
        value = {f"{names.get(metric, metric)}/{rest}": limit}
    (found,) = judge(settings(**{key: value}), renamed)
    assert (found.bound, found.passed) == (bound, passed)


def test_beginning_of_a_name_stands_for_every_figure_below_it(evaluation):
    """And for no other that it begins like."""
    found = judge(settings(minimum={"above_baseline": 0.0}), evaluation)
    assert {gate.name: gate.passed for gate in found} == {
        "minimum above_baseline/answer/image": True,
        "minimum above_baseline/answer/image-text": True,
        "minimum above_baseline/size/image": False,
    }
    (found,) = judge(settings(minimum={"accuracy/answer/image": 0.1}), evaluation)
    assert found.name == "minimum accuracy/answer/image"


@pytest.mark.parametrize(("corrupted", "drop"), [(1.5, -0.5), (2.0, 0.0), (2.5, 0.5)])
def test_lower_error_under_corruption_is_no_drop(tmp_path, corrupted, drop):
    robustness = {"image": {"size": {"image": {"clean": 2.0, "corrupted": corrupted}}}}
    options = settings(maximum_robustness_drop={"image/size/image": 0.1})
    (found,) = judge(options, write(tmp_path, robustness=robustness))
    assert (found.found, found.passed) == (drop, drop <= 0.1)


def test_no_gates_without_settings(evaluation):
    assert judge(settings(), evaluation) == judge(settings(), evaluation, evaluation) == []


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
def test_champion_is_beaten_significantly(evaluation, changes, passed):
    options = {"maximum_drop": {ROW["metric"]: 0.01}}
    rows = [ROW | changes, ROW | {"metric": "other", "p_better": 0.9}]
    found = judge(settings(**options, require="better"), evaluation, evaluation, rows)
    assert [gate.passed for gate in found if "other" not in gate.name] == passed
    found = judge(settings(**options), evaluation, evaluation, rows[:1])
    assert [gate.passed for gate in found] == passed[:1]


def test_first_champion_has_none_to_beat(evaluation):
    options = settings(maximum_drop={ROW["metric"]: 0.01}, require="better")
    assert judge(options, evaluation) == []


@pytest.mark.parametrize(
    ("key", "name", "nearest"),
    [
        ("minimum", "accuracy/answer/imag", "accuracy/answer/image"),
        ("minimum", "ceiling/answer/image", "above_baseline/answer/image"),
        ("minimum", "above_baseline/answr", "above_baseline/answer/image"),
        ("minimum", "accuracy/answer/ima", "accuracy/answer/image"),
        ("maximum_robustness_drop", "imge/answer/image", "image/answer/image"),
        ("maximum_drop", "accuracy/answer/imag", "accuracy/answer/image"),
    ],
)
def test_unknown_figure_suggests_nearest(evaluation, key, name, nearest):
    with pytest.raises(InputError) as error:
        judge(settings(**{key: {name: 0.5}}), evaluation)
    message = f"promote.{key}: unknown figure '{name}'. The most similar on the test split: "
    assert str(error.value).startswith(message)
    assert nearest in str(error.value).removeprefix(message).split(", ")


def test_task_that_the_challenger_lost_is_a_refusal(tmp_path, evaluation):
    """In the direction of the champion's metric."""
    ours = write(tmp_path, figures=without_labels("answer", "size"), robustness={})
    options = settings(
        minimum={"accuracy/answer/image": 0.1, "slices/size/accent/en/image": 9.0},
        maximum_robustness_drop={"image/answer/image": 0.5},
    )
    found = judge(options, ours, evaluation)
    assert [(gate.found, gate.passed) for gate in found] == [(None, False)] * 5
    assert [gate.bound for gate in found[2:]] == ["≥ 0.1", "≤ 9", "≤ 0.5"]
    assert [gate.champion for gate in found[2:]] == [0.5, 3.0, 0.25]


def without_labels(*tasks: str) -> dict[str, Any]:
    """Return the figures of a test split in which no sample has a label of the tasks."""
    found = figures(ACCURACY, ERROR)
    for name in ("accuracy", "mean_absolute_error", "r2", "slices"):
        found[name] = {task: rows for task, rows in found[name].items() if task not in tasks}
    return found


@pytest.mark.parametrize("tasks", [("answer",), ("answer", "size")])
def test_nothing_is_promoted_that_was_not_measured(tmp_path, evaluation, tasks):
    """Small and fast as it may be."""
    ours = write(tmp_path, figures=without_labels(*tasks), robustness={})
    options = settings(maximum_latency_ms=8.0, maximum_size_mb=2.5)
    for champion in (None, ours, evaluation):
        refused = [gate for gate in judge(options, ours, champion) if not gate.passed]
        assert [gate.name for gate in refused] == [f"{task} was measured" for task in tasks]
        assert {gate.bound for gate in refused} == {"a head, and a label in the test split"}


@pytest.mark.parametrize(
    "gate",
    [
        {"minimum": {"accuracy/answer/image": 0.1}},
        {"minimum": {"slices/answer/accent/en/image": 0.1}},
        {"maximum_drop": {"accuracy/answer/image": 0.1}},
        {"maximum_robustness_drop": {"image/answer/image": 0.1}},
    ],
    ids=str,
)
def test_gate_that_names_an_unmeasured_figure_refuses(tmp_path, gate):
    ours = write(tmp_path, figures=without_labels("answer"), robustness={})
    found = judge(settings(**gate), ours)
    ((key, figures),) = gate.items()
    assert [g.name for g in found] == ["answer was measured", f"{key} {next(iter(figures))}"]
    assert not any(g.passed for g in found)


def test_table_of_gates():
    gates = [Gate("minimum a", None, "≥ 1", False, 0.5), Gate("b", 0.25, "≤ 2", True, p=0.04)]
    assert [line.split() for line in gate_table(gates).splitlines()] == [
        ["gate", "found", "bound", "champion", "p"],
        ["FAIL", "minimum", "a", "–", "≥", "1", "0.5", "–"],
        ["pass", "b", "0.25", "≤", "2", "–", "0.04"],
    ]
