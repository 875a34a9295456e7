"""What tests of several packages share."""

import os

import pytest

from tests.servers import empty_store, servers, services_folder, store  # noqa: F401

# Before torch is imported. Several threads, here and in the processes that tests start, wait for
# each other on a busy machine: minutes become seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def prefect_api() -> str:
    """The URL of a Prefect server that lives as long as the tests."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=60):
        yield PREFECT_API_URL.value()
