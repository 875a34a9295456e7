"""A person with a browser: Chromium, driven by Playwright, in Prefect's and MLflow's pages."""

import shutil

import pytest

from tests.browser.person import Person, chromium
from tests.browser.project import tell
from tests.support.clone import REGISTER
from tests.support.params import shipped, write_params

SETTINGS = ["train.epochs=3", "features.image={epochs: 2}"]


@pytest.fixture(autouse=True)
def browser() -> None:
    """See that Chromium is installed."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")


@pytest.fixture
def champion(servers, again, monkeypatch):
    """A small project whose model is the champion in the servers' MLflow, as version 1."""
    for name, value in servers.environment().items():
        monkeypatch.setenv(name, value)
    import mlflow

    again.run(*REGISTER, **servers.environment())
    client = mlflow.MlflowClient(servers.url("mlflow"))
    client.set_registered_model_alias("synesthesia", "champion", "1")
    return again, client


def test_a_person_retrains_compares_and_promotes(servers, champion):
    clone, client = champion
    clone.set(**{"train.epochs": 3})
    told = tell(servers, clone)
    assert told.state == "Completed"
    assert told.challenger == "2"
    assert "train.epochs\t2\t3" in told.compared
    assert "accuracy/" in told.compared  # those that differ
    moved = client.get_model_version_by_alias("synesthesia", "champion")
    assert moved.version == "2"
    assert client.get_model_version("synesthesia", "1").aliases == []


@pytest.fixture
def deployed(servers, tmp_path, monkeypatch):
    """A client of a Prefect that has the deployment of the pipeline; nobody runs it."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.serve import deployments
    from flows.settings import flow_settings

    write_params(tmp_path / "params.yaml", shipped())
    monkeypatch.chdir(tmp_path)
    api, login = f"{servers.url('prefect')}/api", servers.prefect_login
    with temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: login}):
        pipeline, *_ = deployments(flow_settings())
        pipeline.apply()
        with get_client(sync_client=True) as client:
            yield client
            client.delete_deployment(client.read_deployment_by_name("pipeline/pipeline").id)


def test_a_person_fills_in_settings_of_a_run(servers, deployed):
    with chromium() as browser:
        person = Person(browser, servers)
        person.enter_prefect()
        run = deployed.read_flow_run(person.start_run_with("pipeline", SETTINGS))
    deployed.delete_flow_run(run.id)
    assert run.parameters["settings"] == SETTINGS
    assert run.parameters["targets"] == []
