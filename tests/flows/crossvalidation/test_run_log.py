"""A cross-validation in MLflow."""

import json

import mlflow
import pytest

from components.registry.shown import MAX_METRICS
from flows.crossvalidation.run_log import FINGERPRINT, CrossValidationLog
from tests.flows.crossvalidation.folds import fold

FOLDS = [fold(0.5), fold(0.75), fold(1.0)]
SETTINGS = {"seed": 0, "model": {"fusion": {"kind": "gated"}}}
GATE = "f1/answer/image"


@pytest.fixture
def log(store):
    """Logs cross-validations to an experiment of its own."""
    experiment = mlflow.MlflowClient().create_experiment(f"folds-{store.unique}")
    return CrossValidationLog(mlflow, experiment, [GATE])


def runs(log) -> list:
    return mlflow.MlflowClient().search_runs([log.experiment])


def children(log, parent: str) -> dict[str, dict[str, float]]:
    found = (run for run in runs(log) if run.data.tags.get("mlflow.parentRunId") == parent)
    return {run.info.run_name: run.data.metrics for run in found}


def test_run_has_spread_and_a_child_per_fold(log):
    parent = log.log(FOLDS, SETTINGS)
    run = mlflow.MlflowClient().get_run(parent)
    assert run.info.run_name == f"3 folds gated {run.data.tags[FINGERPRINT][:8]}"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "model.fusion.kind": "gated"}
    assert run.data.metrics["mean/accuracy/answer/image"] == 0.75
    assert run.data.metrics["std/accuracy/answer/image"] == 0.25
    assert children(log, parent) == {
        f"fold {number} of 3": {
            "accuracy/answer/image": accuracy,
            "mean_absolute_error/age/image": 10 * accuracy,
            GATE: 0.5,
        }
        for number, accuracy in ((1, 0.5), (2, 0.75), (3, 1.0))
    }


def test_all_figures_are_in_an_artifact(log):
    text = mlflow.artifacts.load_text(f"runs:/{log.log(FOLDS, SETTINGS)}/crossvalidation.json")
    assert json.loads(text)["figures"]["accuracy/answer/image"]["folds"] == [0.5, 0.75, 1.0]


def test_runs_have_few_metrics(log):
    many = {f"subset {number}": 0.5 for number in range(40)}
    parent = log.log([fold(0.5, **many), fold(1.0, **many)], SETTINGS)
    found = [mlflow.MlflowClient().get_run(parent).data.metrics, *children(log, parent).values()]
    assert max(map(len, found)) == MAX_METRICS


def test_same_results_are_logged_once(log):
    parent = log.log(FOLDS, SETTINGS)
    assert log.log(FOLDS, SETTINGS) == parent
    assert len(runs(log)) == 4
    assert log.log(FOLDS, {**SETTINGS, "seed": 1}) != parent


def test_run_that_was_killed_is_replaced(log, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CrossValidationLog, "_parent_metrics", interrupt)
        log.log(FOLDS, SETTINGS)
    assert len(runs(log)) == 4
    log.log(FOLDS, SETTINGS)
    assert [run.info.status for run in runs(log)] == ["FINISHED"] * 4


def interrupt(*_) -> None:
    raise KeyboardInterrupt
