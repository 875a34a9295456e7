"""Decisions that several processes and machines take together, each exactly once, in MLflow.

MLflow's server has no locks, but parameters of a run are write-once: if two processes log the same
one with different values, one is refused. So a decision is a parameter of one run that all
processes know, the journal. There is only one, since the name of its experiment is unique: it is
created under another name and renamed into place, as files are.
"""

import os
import platform
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil

from components.common.errors import InputError


@dataclass(frozen=True)
class Owner:
    """A process, anywhere."""

    machine: str  # equal for processes that see each other's ids, and for no others
    pid: int
    born: int  # seconds since 1970

    @classmethod
    def this(cls) -> "Owner":
        """Return this process."""
        return cls(_machine(), os.getpid(), round(psutil.Process().create_time()))

    @classmethod
    def read(cls, text: str) -> "Owner":
        """Parse `str(owner)`."""
        machine, pid, born = text.split("/")
        return cls(machine, int(pid), int(born))

    def __str__(self) -> str:
        return f"{self.machine}/{self.pid}/{self.born}"

    def is_dead(self) -> bool:
        """Return whether it is known to have ended; of other machines nothing is known."""
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) > 2
        except psutil.NoSuchProcess:
            return True


def _machine() -> str:
    """Return a hash of the machine's name and address, which reveals neither."""
    processes = Path("/proc/self/ns/pid")  # containers of one machine have their own ids
    namespace = os.readlink(processes) if processes.exists() else ""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{platform.node()} {uuid.getnode()} {namespace}").hex


class Journal:
    """Write-once entries, shared by all users of one MLflow store.

    Its experiment, of a given name, is created with the first entry; the note on it tells people
    who find it what it is for.
    """

    def __init__(self, mlflow: ModuleType, experiment: str, note: str):
        self._client, self._refused = mlflow.MlflowClient(), mlflow.MlflowException
        self._experiment, self._note = experiment, note

    def entries(self) -> dict[str, str]:
        """Return every entry so far; raise `InputError` if somebody deleted the journal."""
        run = self._find()
        return self._client.get_run(run).data.params if run else {}

    def write(self, key: str, value: str) -> bool:
        """Write an entry, and return whether it has this value now; if not, another was first."""
        run = self._find() or self._create()
        try:
            self._client.log_param(run, key, value)
        except self._refused:
            if key not in self.entries():
                raise
        return self.entries()[key] == value

    def _find(self) -> str | None:
        """Return its run, if there is one."""
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            return None
        runs = self._client.search_runs([found.experiment_id], max_results=1)
        if found.lifecycle_stage != "active" or not runs:
            raise InputError(
                f"MLflow's experiment {self._experiment!r}, or the run in it, was deleted. "
                f"{self._note} Restore it: mlflow experiments restore --experiment-id "
                f"{found.experiment_id}, and its run with mlflow runs restore"
            )
        return runs[0].info.run_id

    def _create(self) -> str:
        unfinished = f"{self._experiment} (being created "
        made = self._client.create_experiment(
            f"{unfinished}{uuid.uuid4().hex})", tags={"mlflow.note.content": self._note}
        )
        try:
            run = self._client.create_run(made, run_name="journal")
            self._client.set_terminated(run.info.run_id)
            self._client.rename_experiment(made, self._experiment)
        except self._refused:
            if self._find() is None:
                raise
        for left in self._client.search_experiments(filter_string=f"name LIKE '{unfinished}%'"):
            with suppress(self._refused):  # another process does it too
                # Of a process that was slower, or was killed.
                self._client.delete_experiment(left.experiment_id)
        found = self._find()
        assert found is not None
        return found
