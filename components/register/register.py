"""Creates one version per content, however many processes register it at once.

Every process first has a complete run, its own or one that it finds; then the journal decides
whose run becomes the version; the others wait for that version and delete their runs. A version is
thus created with everything that belongs to it in one request, by one process. A process that is
killed before leaves a run without a version, which the next process takes or deletes.
"""

import time
from collections.abc import Callable, Mapping
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING

from components.registry.journal import Journal, Owner
from components.registry.versions import ModelVersions

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

PATIENCE = 10.0  # seconds that a version may take after the decision: it is one request
POLL = 0.1
NOTE = "Which process registers which model, so that none is registered twice. Needed by training."
DAY = 24 * 60 * 60 * 1000  # milliseconds; no run of another machine takes longer

FINGERPRINT, OWNER = "fingerprint", "registering"  # tags of a run


class Registration:
    """Registers a content, known by its fingerprint, as a version of a model.

    The experiment that has its runs is given by id.
    """

    def __init__(self, mlflow: ModuleType, experiment: str, model: str, fingerprint: str):
        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self._experiment, self._versions = experiment, ModelVersions(mlflow, model)
        self._fingerprint = fingerprint

    def find(self) -> "ModelVersion | None":
        """Return the version with the content; None if there is none."""
        return self._versions.by_tag(FINGERPRINT, self._fingerprint)

    def register(
        self, log: Callable[[dict[str, str]], str], tags: Mapping[str, str], description: str
    ) -> "ModelVersion":
        """Return the version with the content, created by this process or by another one.

        Args:
            log: logs a complete run with the tags it is given, and returns its id.
            tags: of the version, besides one with the fingerprint.
            description: Markdown.
        """
        owner = Owner.this()
        # A process that was killed before registering has left a complete run.
        complete = (run.info.run_id for run in self._runs() if run.info.status == "FINISHED")
        run_id = next(complete, "") or log({FINGERPRINT: self._fingerprint, OWNER: str(owner)})
        journal = Journal(self._mlflow, f"{self._versions.model} registrations", NOTE)
        for number in count(1):
            key = f"{self._fingerprint}/{number}"
            if key not in journal.entries() and journal.write(key, f"{run_id} {owner}"):
                return self.find() or self._create(run_id, tags, description)
            if created := self._await(Owner.read(journal.entries()[key].split()[1])):
                return created
        raise AssertionError("unreachable: counting has no end")

    def _await(self, owner: Owner) -> "ModelVersion | None":
        """Return the version that another process is creating; None if it never appears."""
        deadline = time.monotonic() + PATIENCE
        while True:
            gone = owner.is_dead() or time.monotonic() > deadline
            if (created := self.find()) is not None or gone:
                return created
            time.sleep(POLL)

    def _create(self, run_id: str, tags: Mapping[str, str], description: str) -> "ModelVersion":
        tags = {FINGERPRINT: self._fingerprint, **tags}
        created = self._versions.create(run_id, tags, description)
        first = self.find() or created
        if first.version != created.version:  # this process had slept longer than others waited
            self._versions.delete(str(created.version))
        return first

    def _runs(self) -> "list[Run]":
        condition = f"tags.{FINGERPRINT} = '{self._fingerprint}'"
        return self._client.search_runs([self._experiment], condition, order_by=["start_time"])

    def delete_leftovers(self) -> None:
        """Delete the runs of this content without a version, unless they are in progress."""
        for run in self._runs():
            run_id = run.info.run_id
            if _in_progress(run) or self._versions.has_run(run_id):
                continue
            for model in self._client.search_logged_models(
                [self._experiment], filter_string=f"source_run_id = '{run_id}'"
            ):
                self._client.delete_logged_model(model.model_id)
            for child in self._client.search_runs(
                [self._experiment], f"tags.`mlflow.parentRunId` = '{run_id}'"
            ):
                self._client.delete_run(child.info.run_id)
            self._client.delete_run(run_id)


def _in_progress(run: "Run") -> bool:
    """Return whether the process that logs a run may be alive."""
    old = time.time() * 1000 - run.info.start_time > DAY
    return run.info.status == "RUNNING" and not (old or Owner.read(run.data.tags[OWNER]).is_dead())
