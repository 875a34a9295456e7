"""What a person reads when MLflow's server does not answer, or refuses them."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.common.errors import InputError, Unavailable
from components.registry.tracking import (
    connect,
    experiment_id,
    mlflow_errors,
    without_password,
)


@pytest.fixture
def answering(monkeypatch):
    """Start a server that gives the same answer to every request; return its address."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    servers = []

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
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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


def test_address_of_another_kind_is_a_mistake(request_experiment):
    with pytest.raises(InputError, match="ftp://nowhere is not an address of MLflow"):
        request_experiment("ftp://nowhere")


def test_missing_folder_of_a_database_is_named(request_experiment, tmp_path):
    with pytest.raises(InputError, match=f"the folder {tmp_path}/none is missing"):
        request_experiment(f"sqlite:///{tmp_path}/none/mlflow.db")


def test_no_message_has_the_password(answering, request_experiment):
    uri = answering(503, "no").replace("//", "//me:secret@")
    with pytest.raises(Unavailable) as refused:
        request_experiment(uri)
    assert "secret" not in str(refused.value)
    assert without_password("postgresql://me:secret@db/mlflow") == "postgresql://me:…@db/mlflow"
