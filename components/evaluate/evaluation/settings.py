"""Settings of the evaluation of any model."""

from typing import Annotated

from pydantic import Field

from components.stage.settings import Seed, Settings, Threads
from components.tasks.registry import Tasks


class _SplitGroup(Settings):
    group: str


class _Ingest(Settings):
    slices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    splits: _SplitGroup


class EvaluationSettings(Settings):
    """What the evaluation reads of params.yaml."""

    seed: Seed
    threads: Threads
    tasks: Tasks
    ingest: _Ingest
