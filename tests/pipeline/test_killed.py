"""Driver, stage and servers are killed while a model is registered."""

import sys
from collections.abc import Iterator

import pytest

from benchmarks import chaos
from benchmarks.project import Project
from flows.services.services import Services
from tests.support.preloaded import preloaded_python
from tests.support.servers import require_postgresql

ROUNDS = {"driver": 35, "stage": 31, "mlflow": 17, "prefect": 33, "postgresql": 4}


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Servers of their own, which are killed."""
    require_postgresql()
    with chaos.running_services() as running:
        yield running


@pytest.fixture
def quick_checks(monkeypatch) -> None:
    """Plain `dvc repro` afterwards, of which nothing is killed, imports for no seconds."""
    run = Project.run

    def run_preloaded(project: Project, *words: str, **more: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", preloaded_python())
            return run(project, *words, **more)

    monkeypatch.setattr(Project, "run", run_preloaded)


@pytest.mark.usefixtures("quick_checks")
@pytest.mark.parametrize("kind", chaos.KINDS)
def test_nothing_is_lost_when_something_is_killed(done, services, monkeypatch, tmp_path, kind):
    """A round of `make chaos` of each kind; before one of them an encoder is trained again."""
    for name, value in services.environment().items():
        monkeypatch.setenv(name, value)  # taken back after the test
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chaos, "measured", lambda *_: chaos.Durations(idle=2, stage=4))
    (played,) = chaos.play(Project(done.path), services, [ROUNDS[kind]], seed=0)
    assert played.kind == kind
    assert played.problems == () and played.lock == "bytes", played
    assert str(played).endswith("no problems")
