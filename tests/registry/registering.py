"""Processes that register one content at once, or die while they do: without a model to upload."""

import os
import signal
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from components.register import register as module
from components.register.register import Registry, Version
from components.registry.tracking import connect, experiment_id

FINGERPRINT = "0" * 32


def log(mlflow, experiment: str, tags: dict[str, str]) -> str:
    """A run with a child and a logged model, as small as one can be."""
    from mlflow.entities import LoggedModelOutput

    with mlflow.start_run(experiment_id=experiment, tags=tags) as run:
        with mlflow.start_run(experiment_id=experiment, nested=True):
            mlflow.log_metric("loss", 1.0)
        made = mlflow.create_external_model(name="model")
        outputs = [LoggedModelOutput(made.model_id, 0)]
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
    registry = Registry(mlflow, experiment, name)
    if registry.find(FINGERPRINT) is None:
        version = Version({"samples": "9"}, "a card")
        registry.register(FINGERPRINT, lambda tags: log(mlflow, experiment, tags), version)
    registry.clear(FINGERPRINT)


def start(*arguments, **named) -> BaseProcess:
    """`register` in a process of its own, which has MLflow imported already."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "mlflow"])
    process = context.Process(target=register, args=arguments, kwargs=named)
    process.start()
    return process
