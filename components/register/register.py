"""One version of a registered model for each content, however many register it at once.

Every process first has a complete run, its own or one that it finds; then the journal decides
whose run becomes the version; the others wait for that version and delete their runs. A version is
thus created with all that belongs to it in one request, by one process. Whoever is killed before
leaves a run without a version, which the next process takes or deletes.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from components.registry.journal import Journal, Owner

PATIENCE = 10.0  # seconds that a version may take from the decision on: it is one request
POLL = 0.1
NOTE = "Who registers which model, so that none is registered twice. The pipeline needs this."
DAY = 24 * 60 * 60 * 1000  # milliseconds: no run of another machine takes longer

FINGERPRINT, OWNER = "fingerprint", "registering"  # tags of a run


@dataclass(frozen=True)
class Version:
    """What a version is created with.

    Attributes:
        tags: shown beside it.
        description: Markdown.
    """

    tags: dict[str, str]
    description: str


class Registry:
    """Registers contents as versions of one model.

    Args:
        mlflow: connected.
        experiment: id of the experiment that has the runs.
        model: name of the registered model.
    """

    def __init__(self, mlflow, experiment: str, model: str):
        self._mlflow, self._client = mlflow, mlflow.MlflowClient()
        self._experiment, self._model = experiment, model

    def register(
        self, fingerprint: str, log: Callable[[dict[str, str]], str], version: Version
    ) -> Any:
        """The version with this content, made by this process or by another one.

        Args:
            fingerprint: of the content.
            log: makes a complete run with the tags that it gets, and gives its id.
            version: what the version is created with; the fingerprint becomes one of its tags.
        """
        run_id = self._complete(fingerprint) or log(
            {FINGERPRINT: fingerprint, OWNER: str(Owner.this())}
        )
        return self._agree(fingerprint, run_id, version)

    def find(self, fingerprint: str):
        """The version with this content, or None."""
        found = self._client.search_model_versions(
            f"name = '{self._model}' and tags.{FINGERPRINT} = '{fingerprint}'"
        )
        return min(found, key=lambda version: int(version.version), default=None)

    def _agree(self, fingerprint: str, run_id: str, version: Version):
        """Create the version, unless another process is the one to do it."""
        journal = Journal(self._mlflow, f"{self._model} registrations", NOTE)
        for number in count(1):
            key = f"{fingerprint}/{number}"
            said = journal.entries().get(key)
            if said is None and journal.write(key, f"{run_id} {Owner.this()}"):
                return self.find(fingerprint) or self._create(fingerprint, run_id, version)
            said = said or journal.entries()[key]
            if (made := self._await(fingerprint, Owner.read(said.split()[1]))) is not None:
                return made

    def _await(self, fingerprint: str, owner: Owner):
        """The version that another process is creating; None if it never comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            gone = owner.is_dead() or time.monotonic() > deadline
            if (made := self.find(fingerprint)) is not None or gone:
                return made
            time.sleep(POLL)

    def _create(self, fingerprint: str, run_id: str, version: Version):
        refused = self._mlflow.MlflowException
        try:
            self._client.create_registered_model(self._model)
        except refused as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        model_id = self._client.get_run(run_id).outputs.model_outputs[0].model_id
        made = self._client.create_model_version(
            self._model,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags={FINGERPRINT: fingerprint, **version.tags},
            description=version.description,
            model_id=model_id,
        )
        first = self.find(fingerprint)
        if first.version != made.version:  # this process had slept longer than others waited
            self._client.delete_model_version(self._model, made.version)
        return first

    def _runs(self, fingerprint: str) -> Iterator:
        yield from self._client.search_runs(
            [self._experiment], f"tags.{FINGERPRINT} = '{fingerprint}'", order_by=["start_time"]
        )

    def _complete(self, fingerprint: str) -> str | None:
        """A run with all of this content, which its process was killed before registering."""
        finished = (r for r in self._runs(fingerprint) if r.info.status == "FINISHED")
        return next((run.info.run_id for run in finished), None)

    def clear(self, fingerprint: str) -> None:
        """Delete the runs of this content that became no version, but for those still at work."""
        for run in self._runs(fingerprint):
            run_id = run.info.run_id
            if _works(run) or self._client.search_model_versions(f"run_id = '{run_id}'"):
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


def _works(run) -> bool:
    """Whether the process that logs a run may be alive."""
    old = time.time() * 1000 - run.info.start_time > DAY
    return run.info.status == "RUNNING" and not (old or Owner.read(run.data.tags[OWNER]).is_dead())
