"""What the benchmark of the flow measures."""

import pytest

from benchmarks import flow
from flows.plan import PlannedStage
from tests.shrunk import ROOT

SHAPE = [
    PlannedStage("a", ()),
    PlannedStage("b", ("a",)),
    PlannedStage("c", ("a",)),
    PlannedStage("d", ("b", "c")),
    PlannedStage("alone", ()),
]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3, "d": 4, "alone": 5}, 8),
        ({"a": 1, "b": 2, "c": 1, "d": 0, "alone": 9}, 9),
    ],
)
def test_the_critical_path_is_the_longest_chain(seconds, expected):
    assert flow.critical_path(SHAPE, seconds) == expected


def test_the_shape_is_that_of_the_project(toy):
    shape = flow.plan(toy.path)
    with flow.sleeping(shape) as path:
        found = flow.plan(path)
    assert {stage.name: set(stage.upstream) for stage in found} == {
        stage.name: set(stage.upstream) for stage in shape
    }


def test_a_run_gives_the_seconds_of_every_stage(toy, reproduced, temporary_prefect):
    flown = flow.fly(toy.path, 2, ROOT, PREFECT_API_URL=temporary_prefect)
    assert set(flown.stages) == {stage.name for stage in flow.plan(toy.path)}
    assert flown.lock == (reproduced / "dvc.lock").read_bytes()
    assert flown.seconds >= flow.critical_path(flow.plan(toy.path), flown.stages)
