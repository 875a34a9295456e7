"""What flows refuse from the shell before a server starts."""

import importlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from components.common.errors import Unavailable
from tests.support.params import ROOT, small_params, write_params


@pytest.fixture
def call(monkeypatch, tmp_path, capfd) -> Callable[..., tuple[int, str]]:
    """Call `flows.<name>` in an empty folder; return its exit code and what it prints.

    The flow must not be run: it would start a server.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(name: str, *words: str) -> tuple[int, str]:
        module = importlib.import_module(f"flows.{name}")
        monkeypatch.setattr(module, name, lambda **_: pytest.fail("the flow was run"))
        return module.main(list(words)), capfd.readouterr().err

    return run


@pytest.mark.parametrize("name", ["evaluate", "retrain", "pipeline"])
def test_missing_settings_are_refused_first(call, tmp_path, name):
    code, printed = call(name)
    assert (code, "has no params.yaml" in printed) == (2, True), printed
    assert list(tmp_path.iterdir()) == []  # no database of MLflow either


@pytest.mark.parametrize("name", ["evaluate", "retrain"])
def test_mistake_in_settings_is_refused_first(call, tmp_path, name):
    write_params(tmp_path / "params.yaml", small_params({"promote.suite": "quik"}))
    code, printed = call(name)
    assert (code, "Did you mean 'quick'" in printed) == (2, True), printed


@pytest.mark.slow  # creates a database of MLflow
def test_missing_model_is_refused_first(call, tmp_path, monkeypatch, empty_store):
    write_params(tmp_path / "params.yaml", small_params())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_store}")
    code, printed = call("evaluate")
    assert (code, "Make a model: make run" in printed) == (2, True), printed


@pytest.mark.slow  # creates a database of MLflow
def test_retraining_that_could_not_end_is_refused_first(call, tmp_path, monkeypatch, empty_store):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_store}")
    write_params(tmp_path / "params.yaml", small_params({"operate.commit": "retrained"}))
    code, printed = call("retrain")
    assert (code, "is not in a Git repository" in printed) == (2, True), printed


def test_mistake_of_a_stage_is_refused_before_the_pipeline_runs(call, tmp_path):
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    write_params(tmp_path / "params.yaml", small_params({"train.epochs": -1}))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    code, printed = call("pipeline")
    assert (code, "train.epochs: " in printed) == (2, True), printed


@pytest.mark.slow
def test_mistake_of_a_stage_is_refused_before_retraining(call, tmp_path, monkeypatch, empty_store):
    write_params(tmp_path / "params.yaml", small_params({"train.epochs": -1}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_store}")
    code, printed = call("retrain")
    assert (code, "train.epochs: " in printed) == (2, True), printed


def test_service_that_does_not_answer_may_pass(capfd):
    from flows.prefect.exit_codes import exit_code

    def check() -> None:
        raise Unavailable("nobody is there")

    assert exit_code(lambda **_: pytest.fail("the flow was run"), check) == 75
    assert "nobody is there" in capfd.readouterr().err
