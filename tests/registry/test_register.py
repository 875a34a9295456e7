"""A content becomes one version, whoever registers it, how often, and whoever is killed."""

import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from components.common.errors import InputError
from components.register.register import NOTE
from components.registry.journal import Journal, Owner
from components.registry.tracking import connect
from tests.registry.registering import FINGERPRINT, start

# Every request on the way, in order; a process dies before it sends this one.
REQUESTS = (
    "search_runs",
    "create_run",
    "log_outputs",
    "set_terminated",
    "create_experiment",
    "rename_experiment",
    "log_param",
    "create_registered_model",
    "create_model_version",
)


@dataclass(frozen=True)
class Place:
    """Where a test registers.

    Attributes:
        environment: by which MLflow's store is found.
        name: of the experiment and of the model.
        mlflow: connected.
    """

    environment: dict[str, str]
    name: str
    mlflow: ModuleType

    @property
    def client(self):
        return self.mlflow.MlflowClient()

    @property
    def experiment(self) -> str:
        return self.client.get_experiment_by_name(self.name).experiment_id

    def register(self, **named) -> int:
        """Register the content in another process; its exit code."""
        process = start(self.environment, self.name, **named)
        process.join(600)
        return process.exitcode

    def register_at_once(self, gate: Path, **named) -> None:
        """The same in three processes."""
        processes = [start(self.environment, self.name, gate=gate, **named) for _ in range(3)]
        gate.touch()
        for process in processes:
            process.join(600)
        assert [process.exitcode for process in processes] == [0] * 3

    def state(self) -> dict:
        """What the store holds of the content."""
        runs = self.client.search_runs([self.experiment])
        parents = [run for run in runs if "fingerprint" in run.data.tags]
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        experiments = self.client.search_experiments(filter_string=f"name LIKE '{self.name}%'")
        return {
            "versions": [(v.tags, v.description, v.run_id) for v in versions],
            "parents": [(run.info.run_id, run.info.status) for run in parents],
            "children": [r.data.tags["mlflow.parentRunId"] for r in runs if r not in parents],
            "models": [
                m.source_run_id for m in self.client.search_logged_models([self.experiment])
            ],
            "experiments": sorted(experiment.name for experiment in experiments),
        }


@pytest.fixture
def place(store) -> Place:
    """With names of the test's own."""
    return Place(store.environment, f"model-{store.unique}", connect())


def assert_one(place: Place) -> None:
    """One version, made whole, of the only run there is."""
    found = place.state()
    ((run_id, _),) = found["parents"]
    tags = {"fingerprint": FINGERPRINT, "samples": "9"}
    assert found == {
        "versions": [(tags, "a card", run_id)],
        "parents": [(run_id, "FINISHED")],
        "children": [run_id],
        "models": [run_id],
        "experiments": [place.name, f"{place.name} registrations"],
    }


def test_at_once_by_several_processes(place, tmp_path):
    place.register_at_once(tmp_path / "go")
    assert_one(place)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_at_once_by_several_processes_before_there_is_a_store(place, tmp_path):
    (tmp_path / "mlflow.db").unlink()
    place.register_at_once(tmp_path / "go")
    assert_one(place)


def test_at_once_by_processes_that_do_not_wait_for_each_other(place, tmp_path):
    """As if each had slept, in the middle of it, longer than the others' patience."""
    place.register_at_once(tmp_path / "go", patience=-1.0)
    assert place.register() == 0
    assert_one(place)


def test_again_changes_nothing(place):
    assert place.register() == 0
    before = place.state()
    assert place.register() == 0
    assert place.state() == before
    assert_one(place)


@pytest.mark.parametrize("request_", REQUESTS)
def test_after_a_kill_at_any_request(place, request_):
    assert place.register(dies_at=request_) == -signal.SIGKILL
    assert place.state()["versions"] == []
    assert place.register() == 0
    assert_one(place)


def test_a_version_that_a_person_deleted_is_made_again_from_the_same_run(place):
    assert place.register() == 0
    ((_, _, run_id),) = place.state()["versions"]
    place.client.delete_model_version(place.name, "1")
    assert place.register() == 0
    assert_one(place)
    assert place.state()["versions"][0][2] == run_id


def test_a_run_that_another_process_is_logging_is_left_alone(place):
    """And goes when that process has ended."""
    assert place.register() == 0
    for owner in (Owner.this(), Owner("another machine", 1, 1)):
        tags = {"fingerprint": FINGERPRINT, "registering": str(owner)}
        place.client.create_run(place.experiment, tags=tags)
    assert place.register() == 0
    assert len(place.state()["parents"]) == 3
    for found in place.client.search_runs([place.experiment], "attributes.status = 'RUNNING'"):
        dead = f"{Owner.this().machine}/{2**22}/1"
        place.client.set_tag(found.info.run_id, "registering", dead)
    assert place.register() == 0
    assert_one(place)


def test_an_entry_of_the_journal_is_written_once(place):
    first, second = (Journal(place.mlflow, place.name, NOTE) for _ in range(2))
    assert first.write("k/1", "a")
    assert not second.write("k/1", "b")
    assert second.write("k/2", "b")
    assert first.entries() == second.entries() == {"k/1": "a", "k/2": "b"}


def test_of_two_journals_that_are_made_at_once_one_stays(place):
    journal = Journal(place.mlflow, place.name, NOTE)
    journal.write("k", "a")
    assert journal._make() == journal._find()
    assert journal.entries() == {"k": "a"}
    found = place.client.search_experiments(filter_string=f"name LIKE '{place.name}%'")
    assert [experiment.name for experiment in found] == [place.name]


def test_a_journal_that_a_person_deleted_is_missed(place):
    journal = Journal(place.mlflow, place.name, NOTE)
    assert journal.entries() == {}
    assert journal.write("k", "a")
    place.client.delete_experiment(place.experiment)
    for again in (journal.entries, partial(journal.write, "k", "b")):
        with pytest.raises(InputError, match="was deleted.* Restore it: mlflow experiments rest"):
            again()


def test_who_is_alive():
    this = Owner.this()
    assert Owner.read(str(this)) == this and not this.is_dead()
    assert Owner(this.machine, this.pid, this.born - 60).is_dead()  # the number was used again
    free = next(pid for pid in range(2**22 - 1, 0, -1) if not psutil.pid_exists(pid))
    assert Owner(this.machine, free, this.born).is_dead()
    assert not Owner("another machine", free, this.born).is_dead()
    assert os.uname().nodename not in str(this)
