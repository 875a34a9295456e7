"""MLflow's tracking store: connection, experiments, readable errors."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from components.common.errors import DISK_FULL, InputError, Unavailable

DATABASE = "mlflow.db"  # the default store, in the project's folder
ARTIFACTS = "mlartifacts"  # folder of the default store; a server has its own place
DATABASES = ("postgresql", "mysql", "mssql")  # how addresses of databases that are servers begin
# Of a request to a server that does not answer: 14 s in all; MLflow's own 7 take 4 minutes.
RETRIES = "3"
SECONDS = "30"  # that an answer may take; MLflow's own 120 make a server that hangs 8 minutes


def connect() -> ModuleType:
    """Return MLflow with its tracking store set and its telemetry off.

    The store is `MLFLOW_TRACKING_URI`, or `mlflow.db` in the project's folder. Raise `InputError`
    or `Unavailable` if a database cannot be opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", SECONDS)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)

    uri = store_uri()
    _check_address(uri)
    if uri.startswith("sqlite:///"):
        create_database(mlflow, Path(uri.removeprefix("sqlite:///")))
    elif uri.startswith(DATABASES):
        _reach_database(uri)
    mlflow.set_tracking_uri(uri)
    return mlflow


def store_uri() -> str:
    """Return the address of the store: `MLFLOW_TRACKING_URI`, or that of the default one."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _default_uri()


def _check_address(uri: str) -> None:
    """Raise `InputError` unless an address is one that MLflow can have."""
    try:
        parts = urlsplit(uri)
        server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # no port or host is written like this
        server = False
    file = uri.startswith("sqlite:///") and uri != "sqlite:///"  # which is in memory
    if re.search(r"\s", uri) or not (server or file or uri.startswith(DATABASES)):
        raise InputError(
            f"{without_password(uri)} is not an address of MLflow. Set MLFLOW_TRACKING_URI to one "
            "as http://HOST:PORT, https://HOST, sqlite:///FILE or postgresql://HOST/DATABASE"
        )


def _default_uri() -> str:
    return f"sqlite:///{_project() / DATABASE}"


def _project() -> Path:
    """Return the project's folder, relative to the working folder.

    They differ in a stage of `dvc exp run --temp`, whose folder DVC deletes: DVC_ROOT is the
    project's there.
    """
    return Path(os.path.relpath(os.environ.get("DVC_ROOT", ".")))


def _reach_database(uri: str) -> None:
    """Raise `InputError` or `Unavailable` unless a database answers: MLflow tries for minutes."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        # Of mssql's drivers it is another argument.
        limit = {} if uri.startswith("mssql") else {"connect_timeout": int(SECONDS)}
        engine = create_engine(uri, connect_args=limit)
        with engine.connect():
            pass
        engine.dispose()
    except SQLAlchemyError as error:
        raise _explain_database(uri, error) from error
    except ImportError as error:
        raise InputError(
            f"{without_password(uri)} needs a package that is not installed: {error}. Install it: "
            "pip install -e '.[servers]'"
        ) from error


def create_database(mlflow, path: Path) -> None:
    """Create a SQLite store, whole or not at all, unless it exists.

    MLflow creates one table after the other: if it is killed meanwhile, or another process does the
    same, the database is unusable. It is flushed to disk once, at the end, instead of a thousand
    times. Raise `InputError` if its folder does not exist.
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
        with _without_flushing():
            mlflow.MlflowClient(f"sqlite:///{temporary}").search_experiments()
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        with suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _without_flushing() -> Iterator[None]:
    """Let SQLite leave it to the operating system when new connections write to disk."""
    from sqlalchemy import Engine, event

    def relax(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


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
DELETED = re.compile(r"The (run|experiment) (\S+) must be in the 'active' state")
RESTORE = {
    "run": "Restore it: mlflow runs restore --run-id",
    "experiment": "Restore it: mlflow experiments restore --experiment-id",
}
TRANSIENT = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "RESOURCE_EXHAUSTED")
STRANGE = "INTERNAL_ERROR: Response:"  # a body that is JSON, but not MLflow's
FULL = "disk is full"
UNWRITABLE = ("readonly database", "unable to open database file")
LOGIN = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist")


@contextmanager
def mlflow_errors(mlflow: ModuleType) -> Iterator[None]:
    """Turn errors of MLflow's store in the body into ones that say what to do.

    Raises:
        InputError: the address, user or password is wrong.
        Unavailable: the store does not answer, or fails.
    """
    try:
        yield
    except Exception as error:
        if explained := explain(mlflow, error):
            raise explained from error
        raise


def explain(mlflow: ModuleType, error: Exception) -> InputError | Unavailable | None:
    """Return what an error says about the store and the way out; None if it is another kind."""
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    uri = mlflow.get_tracking_uri()
    if isinstance(error, RequestException):
        return _unavailable(uri, str(error))
    if isinstance(error, SQLAlchemyError):
        return _explain_database(uri, error)
    if not isinstance(error, mlflow.MlflowException):
        return None
    if isinstance(error.__cause__, SQLAlchemyError):
        return _explain_database(uri, error.__cause__)
    return _explain_server(uri, error)


def _explain_server(uri: str, error: Any) -> InputError | Unavailable | None:
    """Explain an exception of MLflow."""
    shown, code, message = without_password(uri), error.error_code, error.message
    if way_out := MISTAKES.get(code):
        return InputError(f"{shown} {way_out}")
    if "out-of-date database schema" in message:
        return InputError(
            f"{shown} belongs to another version of MLflow. Back it up, then run: mlflow db "
            f"upgrade {shown}"
        )
    if deleted := DELETED.search(message):
        return _deleted(*deleted.groups())
    if "not in a valid JSON format" in message or message.startswith(STRANGE):
        return InputError(f"{shown} {MISTAKES['ENDPOINT_NOT_FOUND']}")
    if code == TRANSIENT[0] or ("API request to" in message and code in TRANSIENT):
        return _unavailable(uri, message)
    return None


def _deleted(kind: str, identity: str) -> InputError:
    return InputError(f"MLflow's {kind} {identity} was deleted. {RESTORE[kind]} {identity}")


def _explain_database(uri: str, error: Exception) -> InputError | Unavailable:
    """Explain an error of a database that is reached without a server of MLflow."""
    from sqlalchemy.exc import ArgumentError, OperationalError

    shown, detail = without_password(uri), _detail(uri, str(error))
    if isinstance(error, ArgumentError):
        return InputError(f"{shown} is not an address of a database. Correct MLFLOW_TRACKING_URI")
    if isinstance(error, OperationalError):
        if any(words in detail for words in LOGIN):
            return InputError(
                f"{shown} refuses the login: {detail}. Correct the user, password or name of the "
                "database in MLFLOW_TRACKING_URI"
            )
        if FULL in detail:
            return Unavailable(f"{shown} cannot be written: {detail}. {DISK_FULL}")
        if any(words in detail for words in UNWRITABLE):
            return InputError(
                f"{shown} cannot be written: {detail}. Let this user write the file and its "
                "folder, or name another database in MLFLOW_TRACKING_URI"
            )
        return _unavailable(uri, str(error))
    return InputError(
        f"{shown} is not a database of MLflow: {detail}. Correct MLFLOW_TRACKING_URI, or restore "
        "the database from a backup"
    )


def _unavailable(uri: str, message: str) -> Unavailable:
    return Unavailable(
        f"MLflow's store {without_password(uri)} does not answer: {_detail(uri, message)}. Check "
        "that it runs and try again, or name another in MLFLOW_TRACKING_URI"
    )


def _detail(uri: str, message: str) -> str:
    """Return the first line of a message, without a password."""
    return message.strip().partition("\n")[0].replace(uri, without_password(uri))


def without_password(uri: str) -> str:
    """Return an address without its password."""
    return re.sub(r"(://[^:/@]*):.+@", r"\1:…@", uri)


def experiment_id(mlflow: ModuleType, name: str) -> str:
    """Return the id of an experiment, created if need be; raise `InputError` if it was deleted."""
    if experiment := mlflow.get_experiment_by_name(name):
        if experiment.lifecycle_stage != "active":
            raise _deleted("experiment", experiment.experiment_id)
        return experiment.experiment_id
    default = mlflow.get_tracking_uri() == _default_uri()
    artifacts = (_project() / ARTIFACTS).resolve().as_uri() if default else None
    try:
        return mlflow.create_experiment(name, artifact_location=artifacts)
    except mlflow.MlflowException:
        if experiment := mlflow.get_experiment_by_name(name):  # another process was faster
            return experiment.experiment_id
        raise
