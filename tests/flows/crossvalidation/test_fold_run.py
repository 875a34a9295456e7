"""One fold in its copy of the project."""

import json
from pathlib import Path
from threading import Event

import pytest
import yaml

from components.common.errors import InputError, Unavailable
from flows.crossvalidation.fold_run import FoldRun
from flows.dvc.sandbox import Sandbox
from tests.flows.crossvalidation.folds import fold


@pytest.fixture
def run(tmp_path, monkeypatch) -> FoldRun:
    """The second of three folds; the working directory has data beside it."""
    monkeypatch.chdir(tmp_path)
    return FoldRun(2, 3, tmp_path / "folds")


def test_copy_has_the_settings_of_the_fold(run, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(Sandbox, "refresh", lambda self, settings: found.append(settings))
    run.prepare("source")
    assert found == [
        {
            "ingest.root": str(tmp_path / "source"),
            "ingest.splits.fold": {"of": 3, "held_out": 2},
            "evaluate.split": "test",
        }
    ]


@pytest.mark.parametrize(("code", "error"), [(2, InputError), (75, Unavailable), (1, RuntimeError)])
def test_code_of_the_copy_is_an_error(run, monkeypatch, code, error):
    monkeypatch.setattr(Sandbox, "bring_up_to_date", lambda *_: code)
    with pytest.raises(error, match=f"fold 2 of 3 ended with exit code {code}; the lines above"):
        run.run(Path("dvc.lock"), Event())


def test_results_are_read_without_settings_of_the_fold(run):
    assert not run.has_run
    settings = {
        "ingest": {"root": "x", "splits": {"fold": {}, "test": 0.0}},
        "evaluate": {"split": "test", "prompts": {}},
    }
    made = fold(0.5)
    for name, text in (
        ("reports/metrics.json", json.dumps(made.figures.content)),
        ("reports/data.json", json.dumps({"samples": made.samples})),
        ("data/settings.yaml", yaml.safe_dump(settings)),
    ):
        path = run.sandbox.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert run.has_run
    assert run.read().by_name == made.by_name and run.read().samples == made.samples
    assert run.settings() == {"ingest": {"splits": {"test": 0.0}}, "evaluate": {"prompts": {}}}
