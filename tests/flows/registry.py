"""Registered models without files, whose gates a test decides."""

import os
from dataclasses import dataclass

import mlflow

from flows.promotion.gates import Gate
from flows.promotion.registered_model import RegisteredModel
from flows.settings import PARAMS
from tests.support.params import small_params, write_params

PASSED, FAILED = (Gate("minimum x", value, "≥ 0.5", value >= 0.5) for value in (0.9, 0.1))
EVERY_STORE = ("sqlite", "postgresql")  # MLflow in a file, and as a server


@dataclass(frozen=True)
class Registered:
    """A registered model in MLflow, which params.yaml names.

    Attributes:
        name: of the model.
        client: of its store.
    """

    name: str
    client: mlflow.MlflowClient

    @classmethod
    def create(cls, name: str, versions: int = 0, **operate: object) -> "Registered":
        """Create a model whose versions have runs, but no files, and name it in params.yaml.

        Args:
            name: of the model.
            versions: number of them.
            operate: settings of that section.
        """
        changes = {f"operate.{key}": value for key, value in operate.items()}
        write_params(PARAMS, small_params({"register.model": name} | changes))
        made = cls(name, mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"]))
        made.client.create_registered_model(name)
        if versions:
            experiment = made.client.create_experiment(name)
            for number in range(1, versions + 1):
                run = made.client.create_run(experiment).info.run_id
                made.client.create_model_version(name, f"s3://nowhere/{number}", run)
        return made

    @property
    def champion(self) -> str | None:
        """The version that has the alias."""
        found = self.client.get_registered_model(self.name).aliases.get("champion")
        return found and str(found)

    def set_alias(self, alias: str, version: str) -> None:
        """Move an alias by hand."""
        self.client.set_registered_model_alias(self.name, alias, version)

    def tags(self, version: str) -> dict[str, str]:
        """Return the tags of a version."""
        return self.client.get_model_version(self.name, version).tags


def moves() -> list[tuple]:
    """Return what every entry of the log says of the alias, recording moves by hand first."""
    entries = RegisteredModel().log.record_moves()
    return [(e.action, e.source, e.target, e.outcome) for e in entries]
