"""A person with a browser: Chromium, driven by Playwright, in Prefect's and MLflow's pages."""

import shutil

import pytest

from tests.browser.project import tell
from tests.support.clone import REGISTER


@pytest.fixture
def champion(servers, again, monkeypatch):
    """A small project whose model is the champion in the servers' MLflow, as version 1."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
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
