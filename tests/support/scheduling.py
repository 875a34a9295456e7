"""Which worker runs which tests, if several do."""

from collections.abc import Iterable
from functools import cached_property

from xdist.scheduler import LoadFileScheduling

OWN_SERVERS = ("tests/pipeline/", "tests/browser/")  # their tests start and end those they need


def served_files(nodeids: Iterable[str]) -> set[str]:
    """Return the files with tests that share servers on PostgreSQL: see the fixture `servers`."""
    parts = (nodeid.partition("::") for nodeid in nodeids)
    found = {file for file, _, test in parts if "postgresql" in test.partition("[")[2]}
    return {file for file in found if not file.startswith(OWN_SERVERS)}


class Scheduling(LoadFileScheduling):
    """Whole files to a worker, and those that share servers to one, so that they start once."""

    @cached_property
    def _served(self) -> set[str]:
        return served_files(self.collection or ())

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "servers" if file in self._served else file
