"""What tests of several packages share."""

import os
from pathlib import Path

import pytest

from tests.clone import again, done, pair  # noqa: F401
from tests.servers import (  # noqa: F401
    database,
    empty_store,
    prefect_api,
    servers,
    services_folder,
    store,
    temporary_prefect,
)

# Before torch is imported. Several threads, here and in the processes that tests start, wait for
# each other on a busy machine: minutes become seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WHOLE = ("tests/pipeline/", "tests/browser/")  # tests that run whole pipelines


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id: str) -> Path:
    """A folder that all workers of these tests share."""
    mine = tmp_path_factory.getbasetemp()
    return mine if worker_id == "master" else mine.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs whole pipelines comes first, so that no worker is left alone with it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(WHOLE))
