"""Processes that register one content at once, or die while they do: without a model to upload."""

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from components.register import register as module
from components.register.register import Registration
from components.registry.tracking import connect, experiment_id
from tests.support.process import forkserver

FINGERPRINT = "0" * 32


def log(mlflow, experiment: str, tags: dict[str, str]) -> str:
    """Log a run with a child and a logged model, as small as one can be; return its id."""
    from mlflow.entities import LoggedModelOutput

    with mlflow.start_run(experiment_id=experiment, tags=tags) as run:
        with mlflow.start_run(experiment_id=experiment, nested=True):
            mlflow.log_metric("loss", 1.0)
        logged = mlflow.create_external_model(name="model")
        outputs = [LoggedModelOutput(logged.model_id, 0)]
        mlflow.MlflowClient().log_outputs(run.info.run_id, outputs)
    return run.info.run_id


def register(
    environment: dict[str, str],
    name: str,
    dies_at: str | None = None,
    gate: Path | None = None,
    patience: float = module.PATIENCE,
) -> None:
    """Register the content.

    Args:
        environment: where MLflow's store is.
        name: of the experiment and of the model.
        dies_at: the method of MLflow's client at which the process is killed, if it gets there.
        gate: a file to wait for, when all is ready.
        patience: with which it waits for another process's version.
    """
    os.environ.update(environment)
    mlflow = connect()
    experiment = experiment_id(mlflow, name)
    module.PATIENCE = patience
    if dies_at:
        setattr(mlflow.MlflowClient, dies_at, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    while gate and not gate.exists():
        time.sleep(0.001)
    registration = Registration(mlflow, experiment, name, FINGERPRINT)
    if registration.find() is None:
        tags = {"samples": "9"}
        registration.register(lambda tags: log(mlflow, experiment, tags), tags, "a card")
    registration.delete_leftovers()


def start(*arguments, **named) -> BaseProcess:
    """Start `register` in another process, which has MLflow imported already."""
    process = forkserver().Process(target=register, args=arguments, kwargs=named)
    process.start()
    return process
