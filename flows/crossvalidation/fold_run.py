"""One fold: the pipeline in a copy of the project, in which the fold is the test split."""

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from components.common.errors import InputError, Unavailable
from components.common.files import read_json
from components.common.metrics import Figures
from flows.crossvalidation.results import Fold
from flows.dvc.sandbox import Sandbox
from flows.processes.command import USER_MISTAKE

LAST = "evaluate"  # the stage that a fold ends with
METRICS, DATA, RESOLVED = "reports/metrics.json", "reports/data.json", "data/settings.yaml"
FAILURES: dict[int, type[Exception]] = {USER_MISTAKE: InputError, os.EX_TEMPFAIL: Unavailable}


@dataclass(frozen=True)
class FoldRun:
    """One fold of several, with its copy of the project in a folder of its own."""

    number: int  # from 1
    of: int
    folder: Path

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of}"

    @property
    def sandbox(self) -> Sandbox:
        """The copy, which stays, so that nothing that is finished runs again."""
        return Sandbox(self.folder / f"fold-{self.number}")

    @property
    def has_run(self) -> bool:
        """Whether it has figures, now or of an earlier state of the project."""
        return (self.sandbox.path / METRICS).exists()

    def prepare(self, root: str) -> None:
        """Copy code and settings; `root` is the folder of the data."""
        settings = {
            "ingest.root": str(Path(root).resolve()),
            "ingest.splits.fold": {"of": self.of, "held_out": self.number},
            "evaluate.split": "test",
        }
        self.sandbox.refresh(settings)

    def run(self, start: Path, stopping: Event) -> None:
        """Run what did not run yet; see `bring_up_to_date`."""
        bring_up_to_date(self.sandbox, LAST, start, str(self), stopping)

    def read(self) -> Fold:
        """Return what is known of the fold after it has run."""
        path = self.sandbox.path
        return Fold(Figures(read_json(path / METRICS)), read_json(path / DATA)["samples"])

    def settings(self) -> dict[str, Any]:
        """Return the settings of the pipeline, without those that a fold has of its own."""
        found = yaml.safe_load((self.sandbox.path / RESOLVED).read_text(encoding="utf-8"))
        del found["ingest"]["root"], found["ingest"]["splits"]["fold"], found["evaluate"]["split"]
        return found


def bring_up_to_date(sandbox: Sandbox, stage: str, start: Path, name: str, stopping: Event) -> None:
    """Run a stage and what it needs as `Sandbox.bring_up_to_date` does, and print its lines.

    Raises InputError or Unavailable for a failure that is no fault, RuntimeError for one, and
    `Stopped` if `stopping` was set first.
    """

    def log(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    if code := sandbox.bring_up_to_date(stage, start, log, stopping):
        raise FAILURES.get(code, RuntimeError)(
            f"{name} ended with exit code {code}; the lines above say why. Mend that and run it "
            "again: finished stages and folds are kept"
        )
