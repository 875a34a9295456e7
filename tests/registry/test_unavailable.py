"""What a person reads when MLflow's server is away, or does not want them."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.common.errors import InputError, Unavailable
from components.registry.tracking import connect, experiment_id, explained, shown
from tests.shrunk import run_python


@pytest.fixture
def answering(monkeypatch):
    """Starts a server that says the same to every request; gives its address."""
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
def ask(monkeypatch):
    """Asks the store at an address for an experiment, as every command does first."""
    connected = []

    def ask_store(uri: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow = connect()
        connected.append(mlflow)
        with explained(mlflow):
            experiment_id(mlflow, "synesthesia")

    yield ask_store
    for mlflow in connected:
        mlflow.set_tracking_uri(None)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_fails_may_come_back(answering, ask, status):
    uri = answering(status, "<html>busy</html>")
    with pytest.raises(Unavailable, match=f"MLflow's store {uri} does not answer"):
        ask(uri)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refuses the user or the password. Set MLFLOW_TRACKING_USERNAME"),
        (403, "does not let this user do it"),
        (404, "is no MLflow server. Correct MLFLOW_TRACKING_URI"),
    ],
)
def test_a_wrong_password_or_address_is_the_user_s_mistake(answering, ask, status, said):
    with pytest.raises(InputError, match=said):
        ask(answering(status, "no"))


def test_an_address_of_nothing_that_mlflow_knows(ask):
    with pytest.raises(InputError, match="ftp://nowhere is no address of MLflow"):
        ask("ftp://nowhere")


def test_a_database_in_a_folder_that_is_not_there(ask, tmp_path):
    with pytest.raises(InputError, match=f"the folder {tmp_path}/none is missing"):
        ask(f"sqlite:///{tmp_path}/none/mlflow.db")


def test_no_message_has_the_password(answering, ask):
    uri = answering(503, "no").replace("//", "//me:secret@")
    with pytest.raises(Unavailable) as refused:
        ask(uri)
    assert "secret" not in str(refused.value)
    assert shown("postgresql://me:secret@db/mlflow") == "postgresql://me:…@db/mlflow"


def test_the_command_ends_with_the_code_of_what_may_pass(tmp_path):
    process = run_python(
        *("-m", "components.serving.predict", "--text", "hm?", "--model", "models:/synesthesia/1"),
        cwd=tmp_path,
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert process.returncode == os.EX_TEMPFAIL
    assert "MLflow's store http://127.0.0.1:9 does not answer" in process.stderr
    assert "Traceback" not in process.stderr
