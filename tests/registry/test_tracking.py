"""What a person reads when MLflow's server does not answer, or refuses them."""

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from mlflow.cli import cli
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from components.common.errors import InputError, Unavailable
from components.registry import tracking
from components.registry.tracking import (
    connect,
    create_database,
    experiment_id,
    mlflow_errors,
    store_uri,
    without_password,
)
from components.registry.versions import ModelVersions, load_pyfunc


@pytest.fixture
def request_experiment(monkeypatch):
    """Request an experiment from the store at an address, as every command does first."""
    connected = []

    def request(uri: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow = connect()
        connected.append(mlflow)
        with mlflow_errors(mlflow):
            experiment_id(mlflow, "synesthesia")

    yield request
    for mlflow in connected:
        mlflow.set_tracking_uri(None)


def synchronous(uri: str) -> int:
    """Return how often SQLite flushes what a new connection writes: 0 never, 2 at each commit."""
    engine = create_engine(uri)
    with engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar_one()


def test_new_database_is_flushed_once(tmp_path, monkeypatch):
    class Client:
        def __init__(self, uri: str):
            found.append(synchronous(uri))

        def search_experiments(self) -> None:
            """As MLflow does, create what is missing."""

    found, flushed = [], []
    monkeypatch.setattr(os, "fsync", flushed.append)
    create_database(SimpleNamespace(MlflowClient=Client), tmp_path / "mlflow.db")
    assert (found, len(flushed)) == ([0], 1)
    assert synchronous(f"sqlite:///{tmp_path / 'mlflow.db'}") == 2


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_failing_server_may_come_back(answering, request_experiment, status):
    uri = answering(status, "<html>busy</html>")
    with pytest.raises(Unavailable, match=f"MLflow's store {uri} does not answer"):
        request_experiment(uri)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refuses the user or the password. Set MLFLOW_TRACKING_USERNAME"),
        (403, "does not let this user do it"),
        (404, "is not an MLflow server. Correct MLFLOW_TRACKING_URI"),
    ],
)
def test_wrong_password_or_address_is_a_mistake(answering, request_experiment, status, message):
    with pytest.raises(InputError, match=message):
        request_experiment(answering(status, "no"))


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<html>a page</html>"), (401, '{"detail": "log in"}')]
)
def test_another_service_is_no_server_of_mlflow(answering, request_experiment, status, body):
    with pytest.raises(InputError, match="is not an MLflow server"):
        request_experiment(answering(status, body))


@pytest.mark.parametrize(("status", "kind"), [(401, InputError), (503, Unavailable)])
def test_server_that_refuses_has_not_lost_the_model(answering, monkeypatch, tmp_path, status, kind):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", answering(status, "no"))
    mlflow = connect()
    with pytest.raises(kind, match="refuses the user|does not answer"):
        ModelVersions(mlflow, "synesthesia").download("1", tmp_path / "model")
    with pytest.raises(kind, match="refuses the user|does not answer"):
        load_pyfunc(mlflow, "models:/synesthesia/1")
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    "uri",
    [
        *("ftp://nowhere", "file:///tmp", "mlruns", "databricks", "\\\\server", "sqlite:///"),
        *("http://", "http://host:port", "http://host:99999", "http://[::1", "http://a b"),
        *("http://me:secret@", "http://me:secret@[::1", "http://me:se@cret@host:x"),
    ],
)
def test_address_of_another_kind_is_a_mistake(request_experiment, uri):
    with pytest.raises(InputError, match="is not an address of MLflow. Set MLFLOW") as refused:
        request_experiment(uri)
    assert "secret" not in str(refused.value) and "cret@" not in str(refused.value)


def test_missing_folder_of_a_database_is_named(request_experiment, tmp_path):
    with pytest.raises(InputError, match=f"the folder {tmp_path}/none is missing"):
        request_experiment(f"sqlite:///{tmp_path}/none/mlflow.db")


def test_no_message_has_the_password(answering, request_experiment):
    uri = answering(503, "no").replace("//", "//me:secret@")
    with pytest.raises(Unavailable) as refused:
        request_experiment(uri)
    assert "secret" not in str(refused.value)
    assert without_password("postgresql://me:secret@db/mlflow") == "postgresql://me:…@db/mlflow"


def test_file_that_is_no_database_is_named(request_experiment, tmp_path):
    (tmp_path / "mlflow.db").write_text("a letter")
    with pytest.raises(InputError, match="is not a database of MLflow: .*file is not a database"):
        request_experiment(f"sqlite:///{tmp_path}/mlflow.db")


def test_database_of_another_version_says_how_to_upgrade(request_experiment, tmp_path, empty_store):
    path = shutil.copy(empty_store, tmp_path / "mlflow.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '97727af70f4d'")
    with pytest.raises(InputError, match="another version of MLflow. .* mlflow db upgrade sqlite"):
        request_experiment(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("detail", "kind", "message"),
    [
        ("database or disk is full", Unavailable, "cannot be written: .* Free some space"),
        ("attempt to write a readonly database", InputError, "cannot be written: .* Let this user"),
        ("unable to open database file", InputError, "cannot be written: .* Let this user"),
        ("database is locked", Unavailable, "does not answer: .* try again"),
    ],
)
def test_database_that_cannot_be_written_says_why(monkeypatch, tmp_path, detail, kind, message):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(kind, match=message), mlflow_errors(connect()):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError(detail))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_server_that_hangs_is_not_waited_for(silent_port, request_experiment, monkeypatch, scheme):
    pytest.importorskip("psycopg2")
    monkeypatch.setattr(tracking, "SECONDS", "2")  # the least that PostgreSQL's client takes
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")  # so that it is removed at the end
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    with pytest.raises(Unavailable, match="does not answer: .*(read timeout=2|timeout expired)"):
        request_experiment(f"{scheme}://127.0.0.1:{silent_port}/mlflow")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """The port of a server that takes requests and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_deleted_experiment_or_run_says_how_to_restore_it(
    request_experiment, tmp_path, empty_store
):
    """What it says is done, as a command."""
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
    request_experiment(uri)
    mlflow = connect()
    client = mlflow.MlflowClient()
    experiment = experiment_id(mlflow, "synesthesia")
    run = client.create_run(experiment).info.run_id

    def log() -> None:
        with mlflow_errors(mlflow):
            client.log_metric(run, "accuracy", 1.0)

    client.delete_run(run)
    restore("run", run, log)
    client.delete_experiment(experiment)
    restore("experiment", experiment, lambda: request_experiment(uri))
    log()


def restore(kind: str, identity: str, act: Callable[[], None]) -> None:
    """See that an act is refused with a command, and taken after it was run."""
    with pytest.raises(InputError, match=f"{kind} {identity} was deleted. Restore it: ") as error:
        act()
    words = str(error.value).rpartition("mlflow ")[2].split()
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    act()


def test_silent_database_may_answer_later(request_experiment):
    pytest.importorskip("psycopg2")
    with pytest.raises(Unavailable, match="postgresql://me:…@127.0.0.1:9/mlflow does not answer"):
        request_experiment("postgresql://me:secret@127.0.0.1:9/mlflow")


@pytest.mark.parametrize(("user", "database"), [("synesthesia", "mlflow"), ("nobody", "nothing")])
def test_refused_login_of_a_database_is_a_mistake(servers, request_experiment, user, database):
    address = f"127.0.0.1:{servers.ports['postgresql']}/{database}"
    with pytest.raises(InputError, match=f"{address} refuses the login") as refused:
        request_experiment(f"postgresql://{user}:wrong@{address}")
    assert "wrong" not in str(refused.value)


def test_missing_driver_of_a_database_is_named(request_experiment):
    with pytest.raises(InputError, match="needs a package that is not installed"):
        request_experiment("postgresql+pg8000://me@127.0.0.1:9/mlflow")


def test_default_store_is_that_of_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert store_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("DVC_ROOT", os.getcwd())  # as in any stage
    assert store_uri() == "sqlite:///mlflow.db"
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert Path(store_uri().removeprefix("sqlite:///")).resolve() == tmp_path / "mlflow.db"
