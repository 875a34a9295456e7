"""MLflow's tracking store: connection, experiments, readable errors."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from components.common.errors import InputError, Unavailable

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = Path("mlartifacts")  # of the default store; a server has its own place
# Of a request to a server that does not answer: 14 s in all; MLflow's own 7 take 4 minutes.
RETRIES = "3"


def connect() -> ModuleType:
    """Return MLflow with its tracking store set and its telemetry off.

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
        _create_database(mlflow, Path(uri.removeprefix("sqlite:///")))
    mlflow.set_tracking_uri(uri)
    return mlflow


def _create_database(mlflow, path: Path) -> None:
    """Create a SQLite store, whole or not at all, unless it exists.

    MLflow creates one table after the other: if it is killed meanwhile, or another process does the
    same, the database is unusable. Raise `InputError` if its folder does not exist.
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


REFUSED = (
    "refuses the user or the password. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
)
MISTAKES = {  # error code of MLflow → what is wrong, and the way out
    "UNAUTHENTICATED": REFUSED,
    "CUSTOMER_UNAUTHORIZED": REFUSED,
    "PERMISSION_DENIED": "does not let this user do it. Ask who runs it for the permission, or "
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to another user",
    "ENDPOINT_NOT_FOUND": "is not an MLflow server. Correct MLFLOW_TRACKING_URI",
    "INVALID_STATE": "has deleted what is needed. Restore it in MLflow's UI",
}
TRANSIENT = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "RESOURCE_EXHAUSTED")


@contextmanager
def mlflow_errors(mlflow: ModuleType) -> Iterator[None]:
    """Turn errors of MLflow's store in the body into ones that say what to do.

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
            raise InputError(f"{without_password(uri)} {way_out}") from error
        asked = "API request to" in error.message
        if "unsupported URI" in error.message:
            raise InputError(
                f"{without_password(uri)} is not an address of MLflow. Set MLFLOW_TRACKING_URI "
                "to one that begins with http://, https://, sqlite:/// or postgresql://"
            ) from error
        if error.error_code == TRANSIENT[0] or (asked and error.error_code in TRANSIENT):
            raise Unavailable(_unavailable(uri, error.message)) from error
        raise
    except (RequestException, OperationalError) as error:
        raise Unavailable(_unavailable(uri, str(error))) from error


def without_password(uri: str) -> str:
    """Return an address without its password."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":…@") if password else uri


def _unavailable(uri: str, message: str) -> str:
    detail = message.strip().splitlines()[0].replace(uri, without_password(uri))
    return (
        f"MLflow's store {without_password(uri)} does not answer: {detail}. Check that it runs "
        "and try again, or name another in MLFLOW_TRACKING_URI"
    )


def experiment_id(mlflow: ModuleType, name: str) -> str:
    """Return the id of an experiment; create it if need be."""
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
