"""Values of params.yaml are data: no shell runs them."""

import contextlib

import pytest
from dvc.repo import Repo

from tests.support.clone import Clone
from tests.support.preloaded import preloaded_python
from tests.support.stages import STAGES

ROOTS = ("a b/$(touch hacked)/`touch hacked`; touch hacked; '\"", "-n")
FEW = {"ingest.source.images": 4, "ingest.max_bad_fraction": 1.0}  # some answers are in test only


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    """A clone in which nothing has run."""
    return Clone.fresh(tmp_path_factory.mktemp("root") / "clone", FEW)


@pytest.mark.parametrize("root", ROOTS)
def test_root_is_never_shell_code(clone, root, monkeypatch):
    monkeypatch.setenv("PATH", clone.environment(preloaded_python())["PATH"])
    clone.set(**FEW, **{"ingest.root": root})
    (clone.path / root).mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(clone.path), Repo() as repo:
        assert [stage.name for stage in repo.reproduce("ingest")][-2:] == ["settings", "ingest"]
    assert (clone.path / "data/samples.parquet").exists()
    assert not (clone.path / "hacked").exists()


def test_run_may_not_set_the_root(clone):
    clone.set(**FEW)
    words = ["--target", "ingest", "--set", "ingest.root=elsewhere"]
    clone.refused("ingest.root: not settable by a run", "flows.pipeline", *words)


def test_missing_root_suggests_nearest(clone):
    clone.set(**{"ingest.root": "my dta"})
    (clone.path / "my data").mkdir(exist_ok=True)
    message = "ingest.root: there is no folder 'my dta'. Did you mean 'my data'?"
    clone.run("dvc", "repro", "--quiet", "settings")
    clone.refused(message, *STAGES["ingest"].call)
