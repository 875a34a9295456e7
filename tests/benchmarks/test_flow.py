"""The benchmark of the flow."""

import pytest

from benchmarks import flow
from benchmarks.stages import ROOT
from flows.dvc.plan import PlannedStage

SHAPE = [
    PlannedStage("a", ()),
    PlannedStage("b", ("a",)),
    PlannedStage("c", ("a",)),
    PlannedStage("d", ("b", "c")),
    PlannedStage("alone", ()),
]


def upstream(stages: list[PlannedStage]) -> dict[str, set[str]]:
    return {stage.name: set(stage.upstream) for stage in stages}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3, "d": 4, "alone": 5}, 8),
        ({"a": 1, "b": 2, "c": 1, "d": 0, "alone": 9}, 9),
    ],
)
def test_critical_path_is_longest_chain(seconds, expected):
    assert flow.critical_path(SHAPE, seconds) == expected


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr(flow, "SLEEP_SECONDS", 0)


def test_sleeping_project_has_the_shape():
    with flow.sleeping_project(SHAPE) as project:
        found = flow.plan(project.path)
    assert upstream(found) == upstream(SHAPE)


def test_run_gives_seconds_and_lock(temporary_prefect, tmp_path):
    """Every stage has its seconds, and dvc.lock is that of plain `dvc repro`."""
    with flow.sleeping_project(SHAPE) as project:
        plain = project.copy(tmp_path / "plain")
        plain.run("dvc", "repro", "--quiet")
        run = flow.run_flow(project, 2, PYTHONPATH=str(ROOT), PREFECT_API_URL=temporary_prefect)
    assert set(run.stages) == {stage.name for stage in SHAPE}
    assert run.lock == plain.lock
    assert run.seconds >= flow.critical_path(SHAPE, run.stages)
