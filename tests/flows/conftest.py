"""Fixtures of flows: a toy DVC project, a Prefect server, and the flow on them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.toy import Toy
from tests.support.servers import set_variables


@pytest.fixture
def database(request) -> str:
    """The kind of database below Prefect and MLflow: SQLite, unless a test names another."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def prefect_api(database, request, monkeypatch) -> Iterator[str]:
    """The URL of a Prefect server: this process and those that it starts are its clients."""
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    if database == "sqlite":
        environment = {"PREFECT_API_URL": request.getfixturevalue("temporary_prefect")}
    else:
        environment = request.getfixturevalue("servers").environment()
    set_variables(monkeypatch, "PREFECT_API_", environment)
    login = environment.get("PREFECT_API_AUTH_STRING")
    settings = {PREFECT_API_URL: environment["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: login}
    with temporary_settings(settings):
        yield environment["PREFECT_API_URL"]
        EventsWorker.drain_all()  # it would continue with this server


@pytest.fixture
def client(prefect_api):
    """A client of that server, without the deployments of earlier tests."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for earlier in client.read_deployments():
            client.delete_deployment(earlier.id)
        yield client


@pytest.fixture
def refused(capfd) -> Callable[..., str]:
    """Call a main with words that it must refuse with exit code 2; return its message."""

    def call(main, words) -> str:
        with pytest.raises(SystemExit) as ended:
            sys.exit(main(words))
        assert ended.value.code == 2
        printed = capfd.readouterr().err
        assert "Traceback" not in printed
        return printed

    return call


@pytest.fixture
def gates(monkeypatch) -> Callable[..., None]:
    """Decide what the gates say of every version from now on: `gates(PASSED, FAILED)`."""
    from flows.promotion.registered_model import RegisteredModel

    def decide(*found) -> None:
        monkeypatch.setattr(RegisteredModel, "judge", lambda *_: list(found))

    return decide


@pytest.fixture
def registered(store, gates):
    """A registered model with four versions, the last the challenger, that pass the gates."""
    from tests.flows.registry import PASSED, Registered

    made = Registered.create(f"model-{store.unique}", versions=4)
    made.set_alias("challenger", "4")
    gates(PASSED)
    return made


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """The toy project before anything ran."""
    path = tmp_path_factory.mktemp("template") / "toy"
    path.mkdir()
    Toy.write(path)
    return path


@pytest.fixture(scope="session")
def reproduced(template, tmp_path_factory) -> Path:
    """The toy project after plain `dvc repro`: what every flow must equal."""
    folder = tmp_path_factory.mktemp("reproduced")
    shutil.copytree(template, folder / "toy")
    Toy(folder / "toy", folder / "hooks").reproduce()
    return folder / "toy"


@pytest.fixture
def new_toy(tmp_path) -> Callable[..., Toy]:
    """Copy a toy project: `new_toy(template, "name")`."""

    def make(source: Path, name: str = "toy") -> Toy:
        shutil.copytree(source, tmp_path / name, symlinks=True)
        return Toy(tmp_path / name, tmp_path / f"{name}-hooks")

    return make


@pytest.fixture
def entered(new_toy, monkeypatch) -> Callable[..., Toy]:
    """Copy a toy project and enter it: it is the working directory, with its hooks."""

    def enter(source: Path) -> Toy:
        made = new_toy(source)
        monkeypatch.chdir(made.path)
        monkeypatch.setenv("TOY_HOOKS", str(made.hooks))
        return made

    return enter


@pytest.fixture
def toy(entered, template) -> Toy:
    """A toy project in which nothing ran yet, as the working directory."""
    return entered(template)


@pytest.fixture
def done(entered, reproduced) -> Toy:
    """A toy project after plain `dvc repro`, as the working directory."""
    return entered(reproduced)


@pytest.fixture
def run(prefect_api):
    """Run the pipeline in this process; return its state and, per stage, what happened and why."""
    from flows.pipeline import pipeline

    def call(**arguments):
        arguments.setdefault("stage_timeout_seconds", 60)  # for a hook that waits in vain
        arguments.setdefault("workers", 2)
        state = pipeline(**arguments, return_state=True)
        outcomes = state.result(raise_on_failure=False)
        return state, {outcome.name: (outcome.what, outcome.why) for outcome in outcomes}

    return call
