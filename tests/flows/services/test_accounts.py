"""Accounts of MLflow, one per person."""

import io
import os
import uuid
from collections.abc import Iterator

import mlflow
import pytest
import requests

from flows.promotion.promotion import promote
from flows.promotion.registered_model import RegisteredModel
from flows.services.__main__ import main
from tests.register.registering import FINGERPRINT, start
from tests.support.servers import set_variables

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def command(servers, capsys):
    """Run a command about accounts; return its exit code and what it printed."""

    def call(*words: str) -> tuple[int, str]:
        code = main(["user", *words, "--folder", str(servers.folder)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def people(store, command) -> Iterator[dict[str, dict[str, str]]]:
    """Two people, each with the environment that the command printed."""
    found = {}
    for name in (f"ann-{store.unique}", f"bob-{store.unique}"):
        code, printed = command("add", name)
        assert code == 0, printed
        lines = (line.removeprefix("export ") for line in printed.splitlines()[1:])
        found[name] = {key: value.strip("'") for key, value in (x.split("=", 1) for x in lines)}
    yield found
    for name in found:
        command("remove", name)


def test_promotion_log_names_the_account(registered, people, monkeypatch):
    """Each person moves the alias that another one moved before."""
    for (name, environment), version in zip(people.items(), "12", strict=True):
        set_variables(monkeypatch, "MLFLOW_TRACKING_", environment)
        assert promote(version).promoted
        assert RegisteredModel().log.entries()[-1].who == name


def test_person_registers_and_deletes_what_others_left(store, people):
    name, (environment, _) = f"model-{store.unique}", people.values()
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment(name)
    client.create_registered_model(name)
    left = client.create_run(experiment, tags={"fingerprint": FINGERPRINT, "registering": "x/1/1"})
    client.set_terminated(left.info.run_id, "FAILED")
    process = start(environment, name)
    process.join(120)
    assert process.exitcode == 0
    assert client.get_model_version(name, "1").run_id != left.info.run_id
    assert client.get_run(left.info.run_id).info.lifecycle_stage == "deleted"


def test_given_password_is_read_and_not_shown(store, servers, command, monkeypatch):
    name, password = f"eve-{store.unique}", uuid.uuid4().hex
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    code, printed = command("add", name, "--password-stdin")
    assert (code, password in printed) == (0, False)
    assert name in command("list")[1].splitlines()
    url = f"{servers.url('mlflow')}/api/2.0/mlflow/users/current"
    assert requests.get(url, auth=(name, password), timeout=30).ok
    assert command("remove", name)[0] == 0
    assert requests.get(url, auth=(name, password), timeout=30).status_code == 401
    assert name not in command("list")[1].splitlines()


@pytest.mark.parametrize(
    ("words", "typed", "message"),
    [
        (["add", "admin"], "", "user remove admin"),
        (["add", "a:b"], "", "found 'a:b', expected letters"),
        (["add", "short", "--password-stdin"], "short\n", "at least 12 characters"),
        (["remove", "admin"], "", "keep it"),
        (["remove", "nobody"], "", "there is no account 'nobody', but: admin"),
    ],
)
def test_mistake_is_refused(store, command, monkeypatch, words, typed, message):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code, printed = command(*words)
    assert code == 2
    assert message in printed


def test_accounts_without_server_say_how_to_start_it(database, tmp_path, capsys):
    assert main(["user", "list", "--folder", str(tmp_path)]) == 2
    assert "python -m flows.services start" in capsys.readouterr().err
