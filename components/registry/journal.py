"""Decisions that several processes and machines take together, each exactly once, in MLflow.

MLflow's server has no lock to ask for, but the parameters of a run are write-once: of two that
log the same one with different values, one is refused. So a decision is a parameter of one run
that all know, the journal. That there is one journal only, its experiment's name sees to, which is
unique: a journal is made under another name and renamed into place, as files are.
"""

import os
import platform
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from components.common.errors import InputError


@dataclass(frozen=True)
class Owner:
    """A process, anywhere.

    Attributes:
        machine: the same for the processes that see each other's numbers, and for no others.
        pid: its number.
        born: when it started, in seconds since 1970.
    """

    machine: str
    pid: int
    born: int

    @classmethod
    def this(cls) -> "Owner":
        """The process that runs here."""
        return cls(_machine(), os.getpid(), round(psutil.Process().create_time()))

    @classmethod
    def read(cls, text: str) -> "Owner":
        """From `str(owner)`."""
        machine, pid, born = text.split("/")
        return cls(machine, int(pid), int(born))

    def __str__(self) -> str:
        return f"{self.machine}/{self.pid}/{self.born}"

    def is_dead(self) -> bool:
        """Whether it is known to have ended; of another machine's processes nothing is known."""
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) > 2
        except psutil.NoSuchProcess:
            return True


def _machine() -> str:
    """No name or address, but a number that both decide."""
    processes = Path("/proc/self/ns/pid")  # containers of one machine have numbers of their own
    where = os.readlink(processes) if processes.exists() else ""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{platform.node()} {uuid.getnode()} {where}").hex


class Journal:
    """Write-once entries, shared by all that use one MLflow store.

    Args:
        mlflow: connected.
        experiment: the name of the journal's experiment, made with the first entry.
        note: what a person reads there about its purpose.
    """

    def __init__(self, mlflow, experiment: str, note: str):
        self._client, self._refused = mlflow.MlflowClient(), mlflow.MlflowException
        self._experiment, self._note = experiment, note

    def entries(self) -> dict[str, str]:
        """Every entry so far.

        Raises:
            InputError: a person has deleted the journal.
        """
        run = self._find()
        return self._client.get_run(run).data.params if run else {}

    def write(self, key: str, value: str) -> bool:
        """Whether `value` is now the entry `key`; if not, another one was before.

        Raises:
            InputError: a person has deleted the journal.
        """
        run = self._find() or self._make()
        try:
            self._client.log_param(run, key, value)
        except self._refused:
            if key not in self.entries():
                raise
        return self.entries()[key] == value

    def _find(self) -> str | None:
        """Its run, if there is one."""
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

    def _make(self) -> str:
        being_made = f"{self._experiment} (being made "
        made = self._client.create_experiment(
            f"{being_made}{uuid.uuid4().hex})", tags={"mlflow.note.content": self._note}
        )
        try:
            run = self._client.create_run(made, run_name="journal")
            self._client.set_terminated(run.info.run_id)
            self._client.rename_experiment(made, self._experiment)
        except self._refused:
            if self._find() is None:
                raise
        for left in self._client.search_experiments(filter_string=f"name LIKE '{being_made}%'"):
            with suppress(self._refused):  # another process does it too
                self._client.delete_experiment(left.experiment_id)  # of who lost, or was killed
        return self._find()
