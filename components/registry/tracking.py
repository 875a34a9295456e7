"""Where MLflow keeps runs and models."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from components.common.errors import InputError, Unavailable

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = Path("mlartifacts")  # of the default store; a server has a place of its own
# Of a request to a server that does not answer: 14 s, where the 7 of MLflow itself take 4 minutes.
RETRIES = "3"


def connect():
    """MLflow with its tracking store set and its telemetry off.

    The store is `MLFLOW_TRACKING_URI`, or `mlflow.db` in the working folder.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)

    uri = os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI)
    if uri.startswith("sqlite:///"):
        _make_database(mlflow, Path(uri.removeprefix("sqlite:///")))
    mlflow.set_tracking_uri(uri)
    return mlflow


def _make_database(mlflow, path: Path) -> None:
    """Make a SQLite store, whole or not at all, if it is not there.

    MLflow makes one table after the other: killed meanwhile, or met by another process, it leaves
    a database that it cannot use.

    Raises:
        InputError: there is no folder to make it in.
    """
    if path.exists():
        return
    if not path.parent.is_dir():
        raise InputError(
            f"MLFLOW_TRACKING_URI: the folder {path.parent} is missing. Make it, or name another"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        mlflow.MlflowClient(f"sqlite:///{temporary}").search_experiments()
        with suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


MISTAKES = {  # MLflow's codes: what is wrong, and the way out
    "UNAUTHENTICATED": "refuses the user or the password. Set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
    "CUSTOMER_UNAUTHORIZED": "refuses the user or the password. Set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
    "PERMISSION_DENIED": "does not let this user do it. Ask who runs it for the permission, or "
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to another user",
    "ENDPOINT_NOT_FOUND": "is no MLflow server. Correct MLFLOW_TRACKING_URI",
    "INVALID_STATE": "has deleted what is needed. Restore it in MLflow's UI",
}
PASSING = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "RESOURCE_EXHAUSTED")


@contextmanager
def explained(mlflow) -> Iterator[None]:
    """Says of what the body asks of MLflow's store why it could not be had.

    Raises:
        InputError: the address, user or password is wrong.
        Unavailable: the store does not answer, or fails.
    """
    from requests import RequestException
    from sqlalchemy.exc import OperationalError

    uri = mlflow.get_tracking_uri()
    try:
        yield
    except mlflow.MlflowException as error:
        if way_out := MISTAKES.get(error.error_code):
            raise InputError(f"{shown(uri)} {way_out}") from error
        asked = "API request to" in error.message
        if "unsupported URI" in error.message:
            raise InputError(
                f"{shown(uri)} is no address of MLflow. Set MLFLOW_TRACKING_URI to one that begins "
                "with http://, https://, sqlite:/// or postgresql://"
            ) from error
        if error.error_code == PASSING[0] or (asked and error.error_code in PASSING):
            raise Unavailable(_away(uri, error.message)) from error
        raise
    except (RequestException, OperationalError) as error:
        raise Unavailable(_away(uri, str(error))) from error


def shown(uri: str) -> str:
    """An address without the password that may stand in it."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":…@") if password else uri


def _away(uri: str, message: str) -> str:
    said = message.strip().splitlines()[0].replace(uri, shown(uri))
    return (
        f"MLflow's store {shown(uri)} does not answer: {said}. See that it runs and try again; "
        "MLFLOW_TRACKING_URI names another one"
    )


def experiment_id(mlflow, name: str) -> str:
    """The id of an experiment, made if it is not there.

    Those of the default store have their artifacts in `mlartifacts` in the working folder.
    """
    if experiment := mlflow.get_experiment_by_name(name):
        return experiment.experiment_id
    default = mlflow.get_tracking_uri() == DEFAULT_URI
    try:
        return mlflow.create_experiment(
            name, artifact_location=ARTIFACTS.resolve().as_uri() if default else None
        )
    except mlflow.MlflowException:
        if experiment := mlflow.get_experiment_by_name(name):  # another process was faster
            return experiment.experiment_id
        raise
