"""Versions of a registered model, and their aliases and tags."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from components.common.errors import InputError, listed
from components.registry.tracking import explain, without_password

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

ABSENT, INVALID = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"
EXISTS = "RESOURCE_ALREADY_EXISTS"
# Registering looks at DVC's outputs only, so that a version deleted in MLflow changes nothing.
MAKE_MODEL = (
    "Make a model: make run. If that finds nothing to do, register the one that is here: make "
    "register"
)

# Registering again would find the version, and another one would take the files of its run.
FILES_GONE = (
    "MLflow does not have its files: {}. Restore them; or delete the version and its run in MLflow "
    "(make ui), then register the model that is here: make register"
)
NO_FILE = "No such artifact"


class ModelVersions:
    """The versions of one registered model, which may not exist yet."""

    def __init__(self, mlflow: ModuleType, model: str):
        self.mlflow, self.model = mlflow, model
        self._client = mlflow.MlflowClient()

    def aliases(self) -> dict[str, str]:
        """Return alias → version; empty without such a model."""
        with self._tolerating(ABSENT):
            aliases = self._client.get_registered_model(self.model).aliases
            return {alias: str(version) for alias, version in aliases.items()}
        return {}

    def exists(self) -> bool:
        """Return whether the model is registered."""
        with self._tolerating(ABSENT):
            self._client.get_registered_model(self.model)
            return True
        return False

    def numbers(self) -> set[str]:
        """Return the numbers of all versions."""
        return {str(version.version) for version in self._search("")}

    def get(self, number: str) -> "ModelVersion | None":
        """Return a version; None if it does not exist."""
        with self._tolerating(ABSENT, INVALID):  # a number need not be one
            return self._client.get_model_version(self.model, number)
        return None

    def by_alias(self, alias: str) -> "ModelVersion | None":
        """Return the version that has an alias; None if none has."""
        with self._tolerating(ABSENT, INVALID):
            return self._client.get_model_version_by_alias(self.model, alias)
        return None

    def by_tag(self, key: str, value: str) -> "ModelVersion | None":
        """Return the first version that has a tag; None if none has."""
        found = self._search(f" and tags.{key} = '{value}'")
        return min(found, key=lambda version: int(version.version), default=None)

    def has_run(self, run_id: str) -> bool:
        """Return whether a version was made from a run."""
        return bool(self._client.search_model_versions(f"run_id = '{run_id}'"))

    def create(self, run_id: str, tags: Mapping[str, str], description: str) -> "ModelVersion":
        """Create a version of the model that a run logged, and the registered model if need be."""
        with self._tolerating(EXISTS):
            self._client.create_registered_model(self.model)
        model_id = self._client.get_run(run_id).outputs.model_outputs[0].model_id
        return self._client.create_model_version(
            self.model,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags=dict(tags),
            description=description,
            model_id=model_id,
        )

    def delete(self, number: str) -> None:
        """Delete a version."""
        self._client.delete_model_version(self.model, number)

    def set_alias(self, alias: str, number: str | None) -> None:
        """Move an alias to a version, or remove it; without effect if the version was deleted."""
        with self._tolerating(ABSENT):
            if number is None:
                self._client.delete_registered_model_alias(self.model, alias)
            else:
                self._client.set_registered_model_alias(self.model, alias, number)

    def tag(self, number: str, key: str, value: str) -> None:
        """Tag a version; without effect if it was deleted."""
        with self._tolerating(ABSENT):
            self._client.set_model_version_tag(self.model, number, key, value)

    def download(self, number: str, folder: Path) -> Path:
        """Put the model folder of a version at `folder`, unless something is there.

        Raise `InputError` if the files of the version are not available.
        """
        if folder.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        uri = f"models:/{self.model}/{number}"
        with TemporaryDirectory(dir=folder.parent) as temporary:
            try:
                flavor = self.mlflow.models.get_model_info(uri).flavors["python_function"]
                place = flavor["artifacts"]["model"]["path"]
                got = self.mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{uri}/{place}", dst_path=temporary
                )
            except (self.mlflow.MlflowException, OSError, KeyError, TypeError) as error:
                if explained := explain(self.mlflow, error):
                    raise explained from error
                raise InputError(
                    f"version {number} of {self.model}: {FILES_GONE.format(error)}"
                ) from error
            try:
                os.rename(got, folder)
            except OSError:  # another process was faster
                if not folder.exists():
                    raise
        return folder

    def _search(self, condition: str) -> "list[ModelVersion]":
        return list(self._client.search_model_versions(f"name = '{self.model}'{condition}"))

    @contextmanager
    def _tolerating(self, *codes: str) -> Iterator[None]:
        """Ignore errors of MLflow with some codes."""
        try:
            yield
        except self.mlflow.MlflowException as error:
            if error.error_code not in codes:
                raise


def load_pyfunc(mlflow: ModuleType, uri: str) -> Any:
    """Load a model by its URI.

    Raise `InputError` if it does not exist, or holds code of an incompatible version of this
    project.
    """
    try:
        folder = mlflow.artifacts.download_artifacts(artifact_uri=uri)
        if others := other_versions(Path(folder)):
            log.warning("%s was made with other versions: %s", uri, listed(others))
        # MLflow's own warning looks through every installed file, a second of processor time.
        return mlflow.pyfunc.load_model(folder, suppress_warnings=True)
    except (mlflow.MlflowException, OSError) as error:
        if isinstance(error.__cause__, ImportError):
            raise InputError(
                f"{uri} holds the code of another version of this project, which does not load "
                f"here: {error.__cause__}. Check out the commit in its tag git_commit, or train it "
                "again"
            ) from error
        if explained := explain(mlflow, error):
            raise explained from error
        if getattr(error, "error_code", ABSENT) not in (ABSENT, INVALID):
            raise
        if isinstance(error, OSError) or NO_FILE in str(error):
            raise InputError(f"{uri}: {FILES_GONE.format(error)}") from error
        raise InputError(
            f"{uri} cannot be loaded from {without_password(mlflow.get_tracking_uri())}: {error}. "
            f"{MAKE_MODEL}"
        ) from error


def other_versions(folder: Path) -> list[str]:
    """Return each package that a logged model pins to a version that is not installed, and both."""
    result = []
    for line in (folder / "requirements.txt").read_text().split():
        name, _, pinned = line.partition("==")
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found != pinned:
            result.append(f"{name} {pinned} (here {found})")
    return result
