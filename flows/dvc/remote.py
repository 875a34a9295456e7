"""Outputs and data in DVC's default remote, a folder or S3, and imported data.

DVC's command line does the work, in a process that does not outlive this one.
"""

import os
import sys
from pathlib import Path
from threading import Event

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from components.common.errors import InputError
from flows.prefect.runs import pause, retry_on
from flows.processes.command import run_command

RETRIES = 3
FIRST_WAIT_SECONDS = 10.0  # before the first retry; doubled for each further one


class DvcFailed(Exception):
    """A command of DVC failed; a retry may succeed."""


def check_remote() -> None:
    """Raise InputError if DVC has no default remote."""
    if not _has_remote():
        raise InputError(
            "outputs shall be pushed, but DVC has no default remote. Add one: dvc remote add "
            "--default NAME s3://BUCKET/FOLDER (or a folder). Or set operate.push to false, and "
            "push to false where a run is started"
        )


@task(retries=RETRIES, retry_condition_fn=retry_on(DvcFailed), cache_policy=NO_CACHE)
def push(stopping: Event) -> str:
    """Push the outputs of every stage and the data of .dvc files; return DVC's last line."""
    pause(FIRST_WAIT_SECONDS, stopping)
    return dvc(stopping, "push")


@task(retries=RETRIES, retry_condition_fn=retry_on(DvcFailed), cache_policy=NO_CACHE)
def fetch(root: Path, stopping: Event) -> None:
    """Update imported data from its source, and pull the data of .dvc files.

    The data is that in the folder `root`; of other .dvc files only imports are updated. DVC refuses
    to overwrite data that was edited here.
    """
    pause(FIRST_WAIT_SECONDS, stopping)
    with Repo() as repo:
        stages = [stage for stage in repo.index.stages if stage.is_data_source]
        imports = [stage.relpath for stage in stages if stage.is_import]
        data = [stage.relpath for stage in stages if not stage.is_import and _holds(stage, root)]
    if imports:
        dvc(stopping, "update", *imports)
    if data and _has_remote():
        dvc(stopping, "pull", *data)


def _holds(stage: Stage, root: Path) -> bool:
    """Return whether a .dvc file tracks the folder, a part of it, or a folder around it."""
    folder = root.resolve()
    places = [Path(out.fs_path) for out in stage.outs]
    return any(folder.is_relative_to(p) or p.is_relative_to(folder) for p in places)


def _has_remote() -> bool:
    try:
        with Repo() as repo:
            return bool(repo.config["core"].get("remote"))
    except DvcException as error:
        raise InputError(str(error)) from error


def dvc(stopping: Event, command: str, *words: str) -> str:
    """Run a DVC command in a flow and log what it prints; return its last line.

    Raises DvcFailed, with the last lines that it printed, or `Stopped` if `stopping` was set first.
    """
    logger, lines = get_run_logger(), [f"dvc {command}"]

    def take(line: str) -> None:
        if line.strip():
            lines.append(line.strip())
            logger.info(line)

    argv = [sys.executable, "-m", "dvc", "--wait-for-lock", command, *words]
    if run_command(argv, os.getcwd(), os.environ, take, stopping):
        raise DvcFailed(f"dvc {command}: {' '.join(lines[1:][-5:])}")
    return lines[-1]
