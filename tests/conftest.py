"""Fixtures of all tests, and the tiers of tests."""

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.clone import again, committed, done, own_store, pair  # noqa: F401
from tests.support.disks import mount  # noqa: F401
from tests.support.preloaded import preloaded  # noqa: F401
from tests.support.scheduling import Scheduling, served_files
from tests.support.servers import (  # noqa: F401
    answering,
    database,
    empty_store,
    prefect_api,
    servers,
    services_folder,
    store,
    temporary_prefect,
)

WHOLE = ("tests/pipeline/", "tests/browser/")  # tests that run whole pipelines
LONG = (*WHOLE, "tests/benchmarks/test_table.py")  # files that take minutes
SLOW = {  # fixtures of the slow tier
    *("pair", "preloaded", "template"),  # pipelines, and the server of their processes
    *("servers", "store", "database", "temporary_prefect"),
}


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id: str) -> Path:
    """A folder that all workers of these tests share."""
    mine = tmp_path_factory.getbasetemp()
    return mine if worker_id == "master" else mine.parent


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of the slow tier: `make check` leaves it out, `make test` runs it too.

    Files are not flushed to disk, which takes milliseconds for each: no test cuts the power.
    """
    os.fsync = lambda _: None
    config.addinivalue_line(
        "markers", "slow: needs a pipeline, a server, a browser or several seconds"
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Scheduling:
    """Give each worker its tests."""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator:
    """Spare Python's garbage collector the libraries and tests, which stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Spare it what the tests have imported too: pytest has it collect five times at the end."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tier, and run what takes longest first, so that no worker is left with it.

    Of that, one file that needs `pair`, then those that share servers, then those with pipelines of
    their own, then the others: while a worker makes the pair, no other waits for it.
    """
    for item in items:
        if item.nodeid.startswith(WHOLE) or SLOW.intersection(_fixtures(item)):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    long = [item for item in items if item.nodeid.startswith(LONG)]
    first, *waiting = dict.fromkeys(i.path for i in long if "pair" in _fixtures(i)) or [None]
    served = served_files(item.nodeid for item in items)

    def place(item: pytest.Item) -> tuple[bool, ...]:
        is_served = item.nodeid.partition("::")[0] in served
        is_short = not (is_served or item.nodeid.startswith(LONG))
        rest = item.path in waiting, item.path not in slow
        return is_short, item.path != first, not is_served, *rest

    items.sort(key=place)


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
