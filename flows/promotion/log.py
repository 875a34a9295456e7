"""The log of promotions, and the alias that it is about.

The log is a journal in MLflow with write-once entries: of two processes that append an entry of the
same number, on whatever machines, one fails. An entry is an intention until a second one,
`NNNN.done`, records its outcome; whoever finds an unfinished entry finishes it. A move of the alias
by hand leaves no entry, which is how it is detected.
"""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Literal

from components.common.errors import InputError
from components.registry.journal import Journal
from components.registry.versions import MAKE_MODEL, ModelVersions

Action = Literal["promoted", "forced", "rolled back", "moved by hand"]

BY_HAND = "moved by hand"
MOVED, NOT_MOVED = "moved", "not moved"  # the version was deleted, or somebody moved the alias
MAX_ENTRY = 5800  # characters; MLflow truncates at 6000
MAX_REASON = 1000
NOTE = "Who made which model the champion, when and why. Needed by promotions."
ACCOUNT = "/api/2.0/mlflow/users/current"  # of the one who asks
MAX_TRIES = 10  # to record a move by hand while others do too
TAG = "gate"  # of a version: what the gates said


class Overtaken(Exception):
    """Another promotion came first."""


@dataclass(frozen=True)
class Entry:
    """One move of the alias from a version to another; None stands for no version."""

    number: int  # from 1
    action: Action
    source: str | None
    target: str | None
    who: str  # an account of MLflow's server, or user@host
    when: str  # in UTC, ISO 8601
    why: str | None = None
    gates: Sequence[Sequence] = ()  # the fields of each `Gate`
    outcome: str | None = None  # `MOVED` or `NOT_MOVED`; None of an intention

    @property
    def key(self) -> str:
        """Name of the entry in the journal."""
        return f"{self.number:04}"

    def text(self) -> str:
        """Return the unique text of the entry: two equal texts would not conflict."""
        fields = asdict(self)
        del fields["number"], fields["outcome"]
        text = json.dumps(fields | {"id": uuid.uuid4().hex}, ensure_ascii=False)
        if len(text) > MAX_ENTRY and self.gates:
            return replace(self, gates=self.gates[:-1]).text()
        return text


def current_user(mlflow: ModuleType) -> str:
    """Return the account by which MLflow's server knows this process.

    Of a store that has no accounts, return the user and the machine: a name in the environment is
    what anybody may claim.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    if (uri := mlflow.get_tracking_uri()).startswith("http"):
        answer = http_request(get_default_host_creds(uri), ACCOUNT, "GET", raise_on_status=False)
        if answer:  # not an error
            return answer.json()["user"]["username"]
    return f"{_system_user()}@{socket.gethostname()}"


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, a user need not have a name
        return f"user {os.getuid()}"


def now() -> str:
    """Return the time in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class PromotionLog:
    """The log of one alias of one registered model."""

    def __init__(self, mlflow: ModuleType, model: str, alias: str):
        self.versions, self.model, self.alias = ModelVersions(mlflow, model), model, alias
        self.name = f"promotions of {model}@{alias}"
        self.journal = Journal(mlflow, self.name, NOTE)

    def champion(self) -> str | None:
        """Return the version that has the alias now; raise InputError if there is no model."""
        if not self.versions.exists():
            raise InputError(f"MLflow has no registered model {self.model!r}. {MAKE_MODEL}")
        return self.versions.aliases().get(self.alias)

    def entries(self) -> list[Entry]:
        """Return all entries, in order."""
        params = self.journal.entries()
        entries = []
        for key in sorted((key for key in params if "." not in key), key=int):
            fields = json.loads(params[key])
            del fields["id"]
            entries.append(Entry(int(key), **fields, outcome=params.get(f"{key}.done")))
        return entries

    def append(self, entry: Entry) -> None:
        """Append an entry; raise Overtaken if another process was first with its number."""
        if not self.journal.write(entry.key, entry.text()):
            raise Overtaken(f"entry {entry.number} of the {self.name} belongs to another process")

    def finish(self, entry: Entry) -> str:
        """Carry out an entry unless that is done, and return its outcome.

        Any number of processes may do this at the same time.
        """
        if entry.action != BY_HAND and self.champion() == entry.source:
            self.versions.set_alias(self.alias, entry.target)
        outcome = MOVED if self.champion() == entry.target else NOT_MOVED
        if entry.target is not None and outcome == MOVED:
            self.tag(entry.target, f"{entry.action} {entry.when}")
        outcome = self._mark(entry, outcome)
        # A process that was suspended here may have moved the alias after later entries did.
        last = self.entries()[-1]
        if last.number > entry.number and last.outcome == MOVED and self.champion() != last.target:
            self.versions.set_alias(self.alias, last.target)
        return outcome

    def record_moves(self) -> list[Entry]:
        """Finish what a killed process left, record a move by hand, and return all entries.

        Raises Overtaken if other processes keep appending entries.
        """
        for _ in range(MAX_TRIES):
            for entry in self.entries():
                if entry.outcome is None:
                    self.finish(entry)
            entries = self.entries()
            known, found = champion_after(entries), self.champion()  # in this order: see `append`
            if known == found:
                return entries
            why = f"noticed by {current_user(self.versions.mlflow)}"
            entry = _next_entry(entries, BY_HAND, found, "unknown", why)
            try:
                self.append(entry)
            except Overtaken:
                continue
            self._mark(entry, MOVED)
        raise Overtaken(f"the {self.name} kept changing")

    def move(
        self,
        entries: Sequence[Entry],
        action: Action,
        target: str,
        why: str | None,
        gates: Sequence[Sequence] = (),
    ) -> Entry:
        """Append an entry after those that the decision was based on, and carry it out."""
        who = current_user(self.versions.mlflow)
        entry = _next_entry(entries, action, target, who, why, gates)
        self.append(entry)
        if self.finish(entry) != MOVED:
            raise Overtaken(
                f"the alias {self.alias} was moved, or version {target} deleted, meanwhile"
            )
        return entry

    def tag(self, version: str, text: str) -> None:
        """Tag a version with what the gates said."""
        self.versions.tag(version, TAG, text)

    def _mark(self, entry: Entry, outcome: str) -> str:
        """Write an entry's outcome unless another process has, and return what is written."""
        key = f"{entry.key}.done"
        return outcome if self.journal.write(key, outcome) else self.journal.entries()[key]


def _next_entry(
    entries: Sequence[Entry],
    action: Action,
    target: str | None,
    who: str,
    why: str | None,
    gates: Sequence[Sequence] = (),
) -> Entry:
    source, number = champion_after(entries), len(entries) + 1
    return Entry(number, action, source, target, who, now(), why, gates)


def champion_after(entries: Sequence[Entry]) -> str | None:
    """Return the version that has the alias after these entries."""
    moves = [entry for entry in entries if entry.outcome == MOVED]
    return moves[-1].target if moves else None


def previous_champion(entries: Sequence[Entry], existing: Collection[str]) -> str | None:
    """Return the champion before the last one, of the `existing` versions, if there is one.

    A rollback removes the last champion, so that the next rollback goes further back.
    """
    champions: list[str | None] = []
    for entry in entries:
        if entry.outcome != MOVED:
            continue
        if entry.action == "rolled back":
            while champions and champions[-1] != entry.target:
                champions.pop()
        else:
            champions.append(entry.target)
    earlier = [v for v in champions if v in existing and v != champions[-1]]
    return earlier[-1] if earlier else None
