"""The command line of cross-validation; tests/pipeline/test_crossvalidated.py runs it."""

from pathlib import Path
from threading import Event

import pytest
from filelock import FileLock

from components.common.errors import InputError
from flows.crossvalidate import HOME, main, run_folds
from flows.crossvalidation.fold_run import METRICS, FoldRun
from flows.processes.command import Stopped
from flows.settings import flow_settings
from tests.support.params import small_params, write_params


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with settings and nothing else, as the working directory."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml", small_params())
    return tmp_path


@pytest.mark.parametrize("words", [["--folds", "1"], ["--folds", "-3"]])
def test_fewer_than_two_folds_are_refused(refused, words):
    assert f"--folds: found {words[1]}, expected at least 2" in refused(main, words)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--folds", "many"], "invalid int value: 'many'"),
        (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
        (["--fold", "5"], "unrecognized arguments: --fold 5"),
    ],
)
def test_mistakes_are_refused(refused, words, problem):
    assert problem in refused(main, words)


def test_folder_without_settings_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "has no params.yaml" in refused(main, [])
    assert list(tmp_path.iterdir()) == []


def test_second_one_is_turned_away(project, capsys):
    HOME.mkdir(parents=True)
    with FileLock(HOME / "lock"), pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 75
    assert "another cross-validation runs in this working tree" in capsys.readouterr().err


@pytest.fixture
def folds(project, monkeypatch) -> list[FoldRun]:
    """Three folds that write figures instead of running stages."""

    def run(self: FoldRun, start: Path, stopping: Event) -> None:
        if stopping.is_set():
            raise Stopped
        started.append((self.number, start))
        if self.number in waiting:
            running.set()
            stopping.wait()
            raise Stopped
        if self.number in broken:
            assert not waiting or running.wait(60)
            raise InputError(f"{self} is broken")
        metrics = self.sandbox.path / METRICS
        metrics.parent.mkdir(parents=True)
        metrics.touch()

    monkeypatch.setattr(FoldRun, "prepare", lambda self, root: started.append((self.number, root)))
    monkeypatch.setattr(FoldRun, "run", run)
    started.clear()
    broken.clear()
    waiting.clear()
    running.clear()
    return [FoldRun(number, 3, project / "folds") for number in (1, 2, 3)]


started: list[tuple[int, object]] = []
broken: set[int] = set()
waiting: set[int] = set()  # folds that run until they are stopped
running = Event()  # one of those has started


def test_every_copy_is_made_before_the_first_fold_runs(folds):
    run_folds(folds, flow_settings(), jobs=1)
    assert started[:3] == [(number, "source") for number in (1, 2, 3)]
    assert [number for number, _ in started[3:]] == [1, 2, 3]


def test_later_folds_start_with_what_the_first_one_made(folds):
    run_folds(folds, flow_settings(), jobs=1)
    first = folds[0].sandbox.lock
    assert started[3:] == [(1, Path("dvc.lock")), (2, first), (3, first)]


def test_failure_ends_the_folds_that_follow(folds):
    broken.add(1)
    with pytest.raises(InputError, match="fold 1 of 3 is broken"):
        run_folds(folds, flow_settings(), jobs=1)
    assert [number for number, _ in started[3:]] == [1]


def test_failure_ends_the_folds_beside_it(folds):
    waiting.add(1)
    broken.add(2)
    with pytest.raises(InputError, match="fold 2 of 3 is broken"):
        run_folds(folds, flow_settings(), jobs=2)
    assert {number for number, _ in started[3:]} == {1, 2}
