"""The stage ingest on rows of a test."""

from collections.abc import Callable

import pytest

from tests.ingest.stage_rows import run_stage


@pytest.fixture
def ingest(tmp_path, monkeypatch) -> Callable[..., int]:
    """Runs the stage in a folder of the test: see `run_stage`."""
    monkeypatch.chdir(tmp_path)
    return run_stage
