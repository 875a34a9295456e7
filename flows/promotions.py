"""The log of promotions, and the alias that it is about.

The log is a journal in MLflow, where an entry can be written once: of two processes that append one
of the same number, on whatever machines, one fails. An entry is an intention until a second one,
`NNNN.done`, says what came of it, so whoever finds one unfinished finishes it; a person who moves
the alias by hand leaves no entry, and is told by that.
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

Action = Literal["promoted", "forced", "rolled back", "moved by hand"]

BY_HAND = "moved by hand"
MOVED, NOT_MOVED = "moved", "not moved"  # as the version was deleted, or someone moved the alias
LONGEST = 5800  # characters of an entry; MLflow cuts what is longer than 6000
LONGEST_WHY = 1000
NOTE = "Who made which model the champion, when and why. Promotions need this."
TRIES = 10  # to record a move by hand, against others that do too
TAG = "gate"  # of a version: how it did


class Overtaken(Exception):
    """Another promotion came first."""


@dataclass(frozen=True)
class Entry:
    """One move of the alias.

    Attributes:
        number: its place, from 1.
        action: what was done.
        source: the version that had the alias; None if none had.
        target: the version that was to get it; None for none.
        who: an MLflow user name, or user@host.
        when: in UTC, ISO 8601.
        why: the reason given.
        gates: rows of the name, what was found, the bound, whether it was kept, the champion's
            value, the p-value.
        outcome: `MOVED` or `NOT_MOVED`; None as long as it is an intention.
    """

    number: int
    action: Action
    source: str | None
    target: str | None
    who: str
    when: str
    why: str | None = None
    gates: Sequence[Sequence] = ()
    outcome: str | None = None

    @property
    def key(self) -> str:
        """Its name in the journal."""
        return f"{self.number:04}"

    def text(self) -> str:
        """What stands there, like no other: the same text twice would be no conflict."""
        fields = {name: value for name, value in asdict(self).items() if name != "outcome"}
        del fields["number"]
        text = json.dumps(fields | {"id": uuid.uuid4().hex}, ensure_ascii=False)
        if len(text) > LONGEST and self.gates:
            return replace(self, gates=self.gates[:-1]).text()
        return text


def me() -> str:
    """Who runs this process."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return user or f"{getpass.getuser()}@{socket.gethostname()}"


def now() -> str:
    """The time in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Promotions:
    """The log of one alias of one registered model.

    Args:
        mlflow: the module, connected.
        model: the registered model's name.
        alias: the alias.
    """

    def __init__(self, mlflow: ModuleType, model: str, alias: str):
        self.client, self.refused = mlflow.MlflowClient(), mlflow.MlflowException
        self.model, self.alias = model, alias
        self.name = f"promotions of {model}@{alias}"
        self.journal = Journal(mlflow, self.name, NOTE)

    def champion(self) -> str | None:
        """The version that has the alias now.

        Raises:
            InputError: there is no such model.
        """
        try:
            aliases = self.client.get_registered_model(self.model).aliases
        except self.refused as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(
                f"MLflow has no registered model {self.model!r}. Make one first: make run"
            ) from error
        found = aliases.get(self.alias)
        return None if found is None else str(found)

    def entries(self) -> list[Entry]:
        """All entries, in order."""
        params = self.journal.entries()
        entries = []
        for key in sorted((key for key in params if "." not in key), key=int):
            fields = json.loads(params[key])
            del fields["id"]
            entries.append(Entry(int(key), **fields, outcome=params.get(f"{key}.done")))
        return entries

    def append(self, entry: Entry) -> None:
        """Write an entry.

        Raises:
            Overtaken: there is one of this number.
        """
        if not self.journal.write(entry.key, entry.text()):
            raise Overtaken(f"entry {entry.number} of the {self.name} is another's")

    def finish(self, entry: Entry) -> str:
        """Do what an entry says, unless it is done; give its outcome.

        Any number of processes may do this at the same time.
        """
        if entry.action != BY_HAND and self.champion() == entry.source:
            self._move(entry.target)
        outcome = MOVED if self.champion() == entry.target else NOT_MOVED
        if entry.target is not None and outcome == MOVED:
            self.tag(entry.target, f"{entry.action} {entry.when}")
        outcome = self._mark(entry, outcome)
        # Who stood still before moving the alias may have moved it after later entries were done.
        last = self.entries()[-1]
        if last.number > entry.number and last.outcome == MOVED and self.champion() != last.target:
            self._move(last.target)
        return outcome

    def settle(self) -> list[Entry]:
        """Finish what a killed process left; give all entries."""
        for entry in self.entries():
            if entry.outcome is None:
                self.finish(entry)
        return self.entries()

    def note_moves(self) -> list[Entry]:
        """Record where a person moved the alias to, if one did; give all entries, all finished.

        Raises:
            Overtaken: others appended entries all the while.
        """
        for _ in range(TRIES):
            entries = self.settle()
            known, found = state(entries), self.champion()  # in this order: see `append`
            if known == found:
                return entries
            entry = Entry(
                number=len(entries) + 1,
                action=BY_HAND,
                source=known,
                target=found,
                who="unknown",
                when=now(),
                why=f"seen by {me()}",
            )
            try:
                self.append(entry)
            except Overtaken:
                continue
            self._mark(entry, MOVED)
        raise Overtaken(f"the {self.name} kept changing")

    def tag(self, version: str, text: str) -> None:
        """Say on a version how it did, if it is still there."""
        try:
            self.client.set_model_version_tag(self.model, version, TAG, text)
        except self.refused as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _move(self, target: str | None) -> None:
        try:
            if target is None:
                self.client.delete_registered_model_alias(self.model, self.alias)
            else:
                self.client.set_registered_model_alias(self.model, self.alias, target)
        except self.refused as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # the version was deleted
                raise

    def _mark(self, entry: Entry, outcome: str) -> str:
        """Write an entry's outcome, unless another process has; give what stands there."""
        key = f"{entry.key}.done"
        return outcome if self.journal.write(key, outcome) else self.journal.entries()[key]


def state(entries: Sequence[Entry]) -> str | None:
    """The version that has the alias after these entries."""
    moves = [entry for entry in entries if entry.outcome == MOVED]
    return moves[-1].target if moves else None


def before(entries: Sequence[Entry], there: Collection[str]) -> str | None:
    """The champion before the last one: None if there was none.

    A move back takes the last champion away, so that another one goes further back.

    Args:
        entries: the log.
        there: the versions that have not been deleted.
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
    earlier = [v for v in champions if v in there and v != champions[-1]]
    return earlier[-1] if earlier else None
