"""What each command says of a server that refuses the login, is another one, or does not answer."""

import os
import sys

import pytest

from tests.support.params import shipped, write_params

pytestmark = pytest.mark.slow

ANSWERS = [  # status, body, exit code, message
    (401, "You are not authenticated.", 2, "refuses the user or the password"),
    (403, "Permission denied", 2, "does not let this user do it"),
    (404, "no such page", 2, "is not an MLflow server"),
    (200, "<html>a page</html>", 2, "is not an MLflow server"),
    (503, "busy", os.EX_TEMPFAIL, "does not answer"),
]
PROMOTE = (["--log"], ["--rollback"], ["--version", "1"], ["--dry-run"], [])


@pytest.fixture
def project(tmp_path, monkeypatch) -> None:
    """A working directory with the shipped settings."""
    write_params(tmp_path / "params.yaml", shipped())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def disconnected():
    """Let MLflow forget the server afterwards."""
    import mlflow

    yield
    mlflow.set_tracking_uri(None)


def predict(words: list[str]) -> None:
    from components.serving.predict import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["predict", *words])
        main()


def promote(words: list[str]) -> int:
    from flows.promote import main

    return main(words)


def evaluate(words: list[str]) -> int:
    from flows.evaluate import main

    return main(words)


def call(main, words: list[str], capfd) -> tuple[object, str]:
    """Return the exit code of a command and what it prints."""
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(words))
    return ended.value.code, "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("main", "words", "answers"),
    [
        (promote, PROMOTE[0], ANSWERS),
        *((promote, words, ANSWERS[:1]) for words in PROMOTE[1:]),
        (predict, ["--text", "hi"], ANSWERS),
        (predict, ["--text", "hi", "--model", "models:/a/1"], ANSWERS[:1]),
    ],
)
def test_command_explains_mlflow(
    project, disconnected, answering, monkeypatch, capfd, main, words, answers
):
    for status, body, code, message in answers:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", answering(status, body))
        found, printed = call(main, words, capfd)
        assert found == code, printed
        assert message in printed and "Traceback" not in printed


def test_flow_explains_mlflow(toy, prefect_api, disconnected, answering, monkeypatch, capfd):
    """Retraining before anything is trained."""
    from flows.retrain import main as retrain

    toy.use_shipped_settings()
    for status, body, code, message in ANSWERS:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", answering(status, body))
        for main in (evaluate, retrain):
            found, printed = call(main, [], capfd)
            assert found == code, printed
            assert message in printed and "Traceback" not in printed
    assert toy.ran() == []


@pytest.mark.parametrize(("main", "words"), [(promote, ["--log"]), (predict, ["--text", "hi"])])
def test_wrong_password_is_a_mistake(
    project, servers, disconnected, monkeypatch, capfd, main, words
):
    for name, value in (servers.environment() | {"MLFLOW_TRACKING_PASSWORD": "wrong"}).items():
        monkeypatch.setenv(name, value)
    found, printed = call(main, words, capfd)
    assert found == 2, printed
    assert "refuses the user or the password" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (401, "Unauthorized", 2, "refuses the login. Set PREFECT_API_AUTH_STRING"),
        (404, "no such page", 2, "is not one: nothing there speaks Prefect's API"),
        (200, "<html>a page</html>", 2, "is not one: nothing there speaks Prefect's API"),
        (503, "busy", os.EX_TEMPFAIL, "does not answer"),
    ],
)
def test_flow_explains_prefect(project, answering, monkeypatch, capfd, status, body, code, message):
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    url = answering(status, body)
    with temporary_settings({PREFECT_API_URL: f"{url}/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        found, printed = call(evaluate, [], capfd)
    assert found == code, printed
    assert message in printed and "Traceback" not in printed


@pytest.mark.parametrize("url", ["http://127.0.0.1:x/api", "127.0.0.1:4200/api", "ftp://a/api"])
def test_address_that_is_none_is_a_mistake(project, capfd, url):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        found, printed = call(evaluate, [], capfd)
    assert found == 2, printed
    assert "ends with /api" in printed and "Traceback" not in printed
