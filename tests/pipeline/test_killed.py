"""Driver, stage and servers are killed while a model is registered."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos import KINDS, Chaos
from flows.services.services import Services
from tests.servers import ANY_PORTS, require_postgresql


@pytest.fixture(scope="session")
def chaos(done) -> Iterator[Chaos]:
    """Rounds with servers of their own, which they kill."""
    require_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    services = Services(folder / "services")
    try:
        services.start(ANY_PORTS)
        yield Chaos(done, services, seconds=(2, 4))
    finally:
        services.stop()
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_when_something_is_killed(chaos, monkeypatch, tmp_path, kind):
    """One round of `make chaos` of each kind, while the model is registered."""
    for name, value in chaos.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    played = chaos.round(KINDS.index(kind), seed=0, forgotten=["register"])
    assert played.problems == (), played
