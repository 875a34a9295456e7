"""The registered model that params.yaml names: its versions, evaluations and promotions."""

import logging
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from components.common.errors import InputError
from components.common.files import read_json
from components.common.hashing import fingerprint
from components.evaluate.evaluation.results import Evaluation
from components.registry.tracking import connect
from components.registry.versions import MAKE_MODEL, ModelVersions
from flows.processes.command import run_component
from flows.promotion.gates import Gate, judge
from flows.promotion.log import PromotionLog
from flows.settings import flow_settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

TEST_SET = (
    *("--samples", "data/samples.parquet", "--media", "data/media"),
    *("--baselines", "data/baselines.parquet"),
)
EVALUATIONS = Path("evaluations")  # of model versions; may be deleted at any time


class RegisteredModel:
    """A registered model and its log of promotions; `stopping` ends what runs for it."""

    def __init__(self, stopping: Event | None = None):
        self.stopping = stopping or Event()
        self.settings = flow_settings()
        self.mlflow = connect()
        self.name = self.settings.register_.model
        self.versions = ModelVersions(self.mlflow, self.name)
        self.log = PromotionLog(self.mlflow, self.name, self.settings.promote.alias)

    def version(self, number: str | None = None) -> "ModelVersion":
        """Return a version, by default the challenger; raise InputError if it does not exist."""
        alias = self.settings.register_.alias
        found = self.versions.by_alias(alias) if number is None else self.versions.get(number)
        if found is None:
            absent, way_out = f"version {number}", "See the versions it has: make ui"
            if number is None:
                absent, way_out = f"alias {alias}", MAKE_MODEL
            raise InputError(f"{self.name} has no {absent} in MLflow. {way_out}")
        return found

    def model_folder(self, number: str) -> Path:
        """Return the model folder of a version, downloaded if need be."""
        return self.versions.download(number, self._home(number) / "model")

    def evaluate(self, number: str, suite: str | None = None) -> Evaluation:
        """Return the evaluation of a version on the current held-out samples, made if need be.

        Raises InputError if there is no such version or it cannot predict them.
        """
        suite = suite or self.settings.promote.suite
        log.info("version %s of %s predicts the held-out samples", number, self.name)
        model, folder = self.model_folder(number), self._home(number) / suite
        words = ["--model", str(model), *TEST_SET, "--suite", suite, "--evaluation", str(folder)]
        run_component("components.evaluate.evaluation", words, self.stopping)
        return Evaluation(folder)

    def judge(self, challenger: str, champion: str | None) -> list[Gate]:
        """Return what every gate says about a challenger.

        Raises InputError if it cannot be evaluated or a gate refers to an unknown figure.
        """
        options, ours = self.settings.promote, self.evaluate(challenger)
        if champion is None:
            return judge(options, ours)
        try:
            theirs = self.evaluate(champion)
        except InputError as error:
            log.warning("version %s, the champion, cannot be evaluated: %s", champion, error)
            return [*judge(options, ours), Gate("champion can be evaluated", None, "yes", False)]
        comparison = ours.folder / f"beside-{theirs.folder.parent.name}.json"
        words = ["--challenger", str(ours.folder), "--champion", str(theirs.folder)]
        words += ["--comparison", str(comparison)]
        run_component("components.evaluate.comparison", words, self.stopping)
        return judge(options, ours, theirs, read_json(comparison))

    def _home(self, number: str) -> Path:
        """Return the folder of everything that is kept about a version."""
        version = self.version(number)
        unique = fingerprint(version.source, version.creation_timestamp)  # differs between stores
        return EVALUATIONS / f"{self.name}-{number}-{unique[:8]}"
