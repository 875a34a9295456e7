"""A cross-validation in MLflow: one run, and one child run per fold."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from components.common.hashing import fingerprint
from components.common.nested import flatten
from components.registry.names import mlflow_name
from components.registry.shown import MAX_METRICS, logged
from flows.crossvalidation.results import Fold, content, spreads

CONTENT = "crossvalidation.json"  # an artifact of the run
FINGERPRINT, PARENT = "crossvalidation", "mlflow.parentRunId"  # tags
SOURCE = "python -m flows.crossvalidate"


class CrossValidationLog:
    """Logs cross-validations to an experiment, which is given by its id.

    `gates` are the names of the figures that gates refer to: they come first.
    """

    def __init__(self, mlflow: ModuleType, experiment: str, gates: Sequence[str]):
        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self.experiment, self._gates = experiment, gates

    def log(self, folds: Sequence[Fold], settings: Mapping[str, Any]) -> str:
        """Return the id of the run of these results, logged if need be.

        Args:
            settings: of the pipeline, without those of the folds.
        """
        key = fingerprint(content(folds), settings)
        if (complete := self._complete(key)) is not None:
            return complete
        name = f"{len(folds)} folds {settings['model']['fusion']['kind']} {key[:8]}"
        run_id = self._start(name, {FINGERPRINT: key})
        self._log_params(run_id, settings)
        self._mlflow.MlflowClient().log_dict(run_id, content(folds), CONTENT)
        for number, fold in enumerate(folds, start=1):
            self._log_fold(run_id, f"fold {number} of {len(folds)}", fold)
        self._log_metrics(run_id, self._parent_metrics(folds))
        self._client.set_terminated(run_id)
        return run_id

    def _complete(self, key: str) -> str | None:
        """Return the id of a finished run; delete what a process left that was killed."""
        for run in self._runs(FINGERPRINT, key):
            if run.info.status == "FINISHED":
                return run.info.run_id
            for child in self._runs(PARENT, run.info.run_id):
                self._client.delete_run(child.info.run_id)
            self._client.delete_run(run.info.run_id)
        return None

    def _runs(self, tag: str, value: str) -> Sequence[Any]:
        return self._client.search_runs([self.experiment], f"tags.`{tag}` = '{value}'")

    def _start(self, name: str, tags: Mapping[str, str]) -> str:
        from components.register.lineage import Lineage  # here, as it imports torch

        made_by = Lineage.here(Path("dvc.lock"), Path()).tags()
        source = {"mlflow.source.name": SOURCE, "mlflow.source.git.commit": made_by["git_commit"]}
        tags = {**tags, **source, **made_by}
        return self._client.create_run(self.experiment, tags=tags, run_name=name).info.run_id

    def _log_fold(self, parent: str, name: str, fold: Fold) -> None:
        run_id = self._start(name, {PARENT: parent})
        names = logged(fold.figures, self._gates)
        self._log_metrics(run_id, {key: fold.by_name[key] for key in names})
        self._log_params(run_id, {"samples": dict(fold.samples)})
        self._client.set_terminated(run_id)

    def _parent_metrics(self, folds: Sequence[Fold]) -> dict[str, float]:
        """Return mean and standard deviation of the figures that decide most."""
        found = spreads(folds)
        names = [name for name in logged(folds[0].figures, self._gates) if name in found]
        kept = {name: found[name] for name in names[: MAX_METRICS // 2]}
        means = {f"mean/{name}": spread.mean for name, spread in kept.items()}
        deviations = {f"std/{name}": spread.std for name, spread in kept.items()}
        return means | {name: std for name, std in deviations.items() if std is not None}

    def _log_params(self, run_id: str, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        flat = {mlflow_name(*key.split("/")): str(value) for key, value in flatten(settings)}
        self._client.log_batch(run_id, params=[Param(*item) for item in flat.items()])

    def _log_metrics(self, run_id: str, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(mlflow_name(*k.split("/")), v, now, 0) for k, v in figures.items()]
        self._client.log_batch(run_id, metrics=rows)
