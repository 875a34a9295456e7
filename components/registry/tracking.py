"""Where MLflow keeps runs and models."""

import logging
import os
from pathlib import Path

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = Path("mlartifacts")  # of the default store; a server has a place of its own


def connect():
    """MLflow with its tracking store set and its telemetry off.

    The store is `MLFLOW_TRACKING_URI`, or `mlflow.db` in the working folder.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)

    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI))
    return mlflow


def experiment_id(mlflow, name: str) -> str:
    """The id of an experiment, made if it is not there.

    Those of the default store have their artifacts in `mlartifacts` in the working folder.
    """
    if experiment := mlflow.get_experiment_by_name(name):
        return experiment.experiment_id
    default = mlflow.get_tracking_uri() == DEFAULT_URI
    return mlflow.create_experiment(
        name, artifact_location=ARTIFACTS.resolve().as_uri() if default else None
    )
