"""Outputs and data in DVC's default remote, a folder or S3 by its URL, and imported data.

DVC's command line does the work, in a process that does not outlive this one.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage
from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from components.common.errors import InputError
from flows.command import run_command
from flows.runs import pause

TRIES_AGAIN = 3
FIRST_WAIT_SECONDS = 10.0  # before the second try; then twice as long each time


class DvcFailed(Exception):
    """DVC could not read or write what it was to; it may work later."""


def _may_pass(_task: Task, _run: TaskRun, state: State) -> bool:
    return isinstance(state.result(raise_on_failure=False), DvcFailed)


def check_remote() -> None:
    """See that there is a default remote.

    Raises:
        InputError: there is none.
    """
    if not _has_remote():
        raise InputError(
            "operate.push is true, but DVC has no default remote. Name one: dvc remote add "
            "--default NAME s3://BUCKET/FOLDER (or a folder), or set operate.push to false"
        )


@task(retries=TRIES_AGAIN, retry_condition_fn=_may_pass, cache_policy=NO_CACHE)
def push(stopping: Event) -> str:
    """Push the outputs of every stage and the data that .dvc files name; give DVC's last word.

    Raises:
        DvcFailed: the remote does not answer.
        Stopped: `stopping` was set first.
    """
    pause(FIRST_WAIT_SECONDS, stopping)
    return dvc(stopping, "push")


@task(retries=TRIES_AGAIN, retry_condition_fn=_may_pass, cache_policy=NO_CACHE)
def fetch(root: Path, stopping: Event) -> None:
    """Bring what was imported up to date with where it came from, and pull what .dvc files name.

    Data that was edited here is not overwritten: then DVC refuses.

    Args:
        root: the folder of the data; of other .dvc files only imports count.
        stopping: ends it.

    Raises:
        DvcFailed: DVC could not.
        Stopped: `stopping` was set first.
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
    """Whether a .dvc file is about the folder, a part of it, or one around it."""
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
    """In a flow: run a DVC command and log what it prints; give its last line.

    Raises:
        DvcFailed: it failed; with the last lines that it printed.
        Stopped: `stopping` was set first.
    """
    log: Callable[[str], None] = get_run_logger().info
    lines = [f"dvc {command}"]

    def take(line: str) -> None:
        if line.strip():
            lines.append(line.strip())
            log(line)

    argv = [sys.executable, "-m", "dvc", "--wait-for-lock", command, *words]
    if run_command(argv, os.getcwd(), os.environ, take, stopping):
        raise DvcFailed(f"dvc {command}: {' '.join(lines[1:][-5:])}")
    return lines[-1]
