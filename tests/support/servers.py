"""Servers and databases: what MLflow and Prefect keep what they are told in."""

import importlib.util
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from components.common.errors import InputError
from components.registry.tracking import create_database
from flows.services.postgresql import program
from flows.services.services import PORTS, Services

ANY_PORTS = dict.fromkeys(PORTS, 0)


@dataclass(frozen=True)
class Store:
    """Where MLflow keeps what it is told.

    Attributes:
        environment: the variables by which clients find it; they are set in this process too.
        unique: a word for names of experiments and models, since servers outlive a test.
    """

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
def servers(services_folder) -> Iterator[Services]:
    """PostgreSQL, MLflow and Prefect, with passwords, that live as long as the tests.

    Each of pytest's workers has its own: runs end those of the same flow that were lost, and a
    deployment is served by one.
    """
    require_postgresql()
    services = Services(services_folder / "shared")
    try:
        with beyond_tests():
            services.start(ANY_PORTS)
        yield services
    finally:
        services.stop()


@pytest.fixture(scope="session")
def temporary_prefect() -> Iterator[str]:
    """The URL of a Prefect server on SQLite that lives as long as the tests."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with ExitStack() as lasting:
        with beyond_tests():
            lasting.enter_context(prefect_test_harness(server_startup_timeout=300))
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def prefect_api(temporary_prefect) -> str:
    """The URL of a Prefect server; in tests/flows, of one on either database."""
    return temporary_prefect


@pytest.fixture(scope="session")
def empty_store(shared_folder) -> Path:
    """MLflow's database with nothing in it, which takes seconds to create; all workers copy it."""
    import mlflow

    path = shared_folder / "empty.db"
    with FileLock(shared_folder / "empty.lock"):
        create_database(mlflow, path)
    return path


@pytest.fixture
def answering(monkeypatch) -> Iterator[Callable[[int, str], str]]:
    """Start a server that gives the same answer to every request; return its address."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    started = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@contextmanager
def beyond_tests() -> Iterator[None]:
    """What starts in here outlives the test that is the first to ask for it: it is no toy's."""
    with pytest.MonkeyPatch.context() as patch:
        set_variables(patch, "TOY_", {})
        yield


def set_variables(patch: pytest.MonkeyPatch, prefix: str, environment: dict[str, str]) -> None:
    """Those that begin with a prefix become those of an environment, and no others."""
    for name in [name for name in os.environ if name.startswith(prefix)]:
        patch.delenv(name)
    for name, value in environment.items():
        if name.startswith(prefix):
            patch.setenv(name, value)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request) -> str:
    """The kind of database below MLflow and Prefect: what touches them runs on either.

    Only some do: `pytest -k postgresql`. A test that is about one of them names it:
    `@pytest.mark.parametrize("database", ["sqlite"], indirect=True)`.
    """
    return request.param


@pytest.fixture
def store(database, request, tmp_path, monkeypatch) -> Store:
    """MLflow's store in a file, or a server's; with the test's folder as the working directory."""
    import mlflow

    mlflow.set_tracking_uri(None)  # an earlier test may have connected to another
    monkeypatch.chdir(tmp_path)
    if database == "sqlite":
        shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
        # Absolute, since MLflow keeps a connection for each address.
        environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    else:
        environment = request.getfixturevalue("servers").environment()
    set_variables(monkeypatch, "MLFLOW_TRACKING_", environment)
    return Store(environment, uuid.uuid4().hex[:8])
