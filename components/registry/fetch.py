"""A registered model's own folder, as the stage `train` wrote it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from components.common.errors import InputError


def fetch(mlflow, name: str, version: str, folder: Path) -> Path:
    """Put the model folder of a registered version at `folder`, unless something is there.

    Raises:
        InputError: the version's files cannot be had.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    uri = f"models:/{name}/{version}"
    with TemporaryDirectory(dir=folder.parent) as temporary:
        try:
            flavor = mlflow.models.get_model_info(uri).flavors["python_function"]
            place = flavor["artifacts"]["model"]["path"]
            got = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri}/{place}", dst_path=temporary
            )
        except (mlflow.MlflowException, OSError, KeyError, TypeError) as error:
            raise InputError(
                f"version {version} of {name}: its files cannot be had from MLflow: {error}. "
                "Restore them, or register the model again: dvc repro -f -s register"
            ) from error
        try:
            os.rename(got, folder)
        except OSError:  # another process was faster
            if not folder.exists():
                raise
    return folder
