"""A project served to Prefect, and the story that the tests and the tour tell."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.services.services import Services
from tests.browser.person import Person, chromium
from tests.support.clone import Clone
from tests.support.preloaded import preloaded_python

START_SECONDS = 120.0


@dataclass(frozen=True)
class Told:
    """What a person saw and did.

    Attributes:
        state: in which Prefect's page showed the run to end.
        challenger: the version that MLflow's page showed as the challenger.
        compared: what MLflow's page said about both versions.
    """

    state: str
    challenger: str
    compared: str


def tell(services: Services, clone: Clone, pictures: Path | None = None) -> Told:
    """Retrain from Prefect's page, then compare in MLflow's and make the new model the champion.

    Args:
        clone: with version 1 in the services' MLflow, and a setting that was changed since.
        pictures: folder for what the person sees.
    """
    stages = list(yaml.safe_load(clone.read("dvc.yaml"))["stages"])
    with served(clone, services), chromium() as browser:
        person = Person(browser, services, pictures)
        person.enter_prefect()
        person.start_run("pipeline")
        state = person.watch_run(stages)
        person.enter_mlflow()
        challenger = person.find("synesthesia", "challenger")
        compared = person.compare("1", challenger)
        person.give_alias(challenger, "champion")
    return Told(state, challenger, compared)


@contextmanager
def served(clone: Clone, services: Services) -> Iterator[None]:
    """The clone's deployments, while it lasts."""
    with tempfile.NamedTemporaryFile() as output:
        log, python = Path(output.name), preloaded_python()
        process = subprocess.Popen(
            [python, "-m", "flows.serve"],
            cwd=clone.path,
            env=clone.environment(python, **services.environment(), PYTHONUNBUFFERED="1"),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Stop with Ctrl-C" not in log.read_text():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            with suppress(ProcessLookupError):  # it ended by itself, and the reason is raised
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
