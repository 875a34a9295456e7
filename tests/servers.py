"""Servers as a team has them, started by the tests on loopback."""

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from components.store.errors import InputError
from flows.services.postgresql import program
from flows.services.services import PORTS, Services

ANY_PORTS = dict.fromkeys(PORTS, 0)


@dataclass(frozen=True)
class Store:
    """Where MLflow and Prefect keep what they are told.

    Attributes:
        kind: of their databases, sqlite or postgresql.
        environment: the variables by which clients find them; they are set in this process too.
        unique: a word for names of experiments and models, since servers outlive a test.
    """

    kind: str
    environment: dict[str, str]
    unique: str


def require_postgresql() -> None:
    """Skip a test, and say why, where PostgreSQL or what talks to it is not installed."""
    try:
        program("postgres")
    except InputError as error:
        pytest.skip(str(error))
    needed = ("psycopg2", "flask_wtf")
    if missing := [name for name in needed if not importlib.util.find_spec(name)]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e '.[servers]'")


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can enter, unlike the tests' own when root runs them."""
    folder = Path(tempfile.mkdtemp(prefix="services-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def servers(testrun_uid: str, worker_id: str, shared_folder: Path) -> Iterator[Services]:
    """PostgreSQL, MLflow and Prefect that live as long as the tests; all workers share them."""
    require_postgresql()
    home = Path(tempfile.gettempdir()) / f"servers-{testrun_uid}"
    services, user = Services(home / "services"), home / "users" / worker_id
    lock = shared_folder / "servers.lock"
    try:
        with FileLock(lock):
            home.mkdir(mode=0o711, exist_ok=True)  # PostgreSQL's account passes through
            user.parent.mkdir(exist_ok=True)
            user.touch()
            services.start(ANY_PORTS)
        yield services
    finally:
        with FileLock(lock):
            user.unlink()
            if not any(user.parent.iterdir()):
                services.stop()
                shutil.rmtree(home)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """MLflow's database with nothing in it, which takes seconds to make."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path, monkeypatch) -> Store:
    """Either kind of store, with the test's folder as the working directory."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
        api = request.getfixturevalue("prefect_api")
        environment = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PREFECT_API_URL": api}
    else:
        environment = request.getfixturevalue("servers").environment()
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() & {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Store(request.param, environment, uuid.uuid4().hex[:8])
