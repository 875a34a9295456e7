"""A logged model and the packages that are installed."""

import shutil
from importlib.metadata import version

import pytest

from components.common.errors import InputError
from components.registry.tracking import connect
from components.registry.versions import ModelVersions, load_pyfunc, other_versions


def test_packages_of_other_versions_are_named(tmp_path):
    lines = [f"torch=={version('torch')}", "pandas==1.0.0", "no-such-package==2"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    assert other_versions(tmp_path) == [
        f"pandas 1.0.0 (here {version('pandas')})",
        "no-such-package 2 (here none)",
    ]


def test_version_without_files_says_how_to_replace_it(tmp_path, monkeypatch, empty_store):
    """To register again would find the version."""
    store = shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    mlflow = connect()
    client = mlflow.MlflowClient()
    client.create_registered_model("words")
    client.create_model_version("words", f"{tmp_path}/none")
    for use in (
        lambda: load_pyfunc(mlflow, "models:/words/1"),
        lambda: ModelVersions(mlflow, "words").download("1", tmp_path / "model"),
    ):
        with pytest.raises(InputError, match="does not have its files: .* delete the version and"):
            use()
    mlflow.set_tracking_uri(None)
