"""One content becomes one version, however many processes register it and whichever are killed."""

import signal
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from components.registry.journal import Owner
from components.registry.tracking import connect
from tests.register.registering import FINGERPRINT, start

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
        """Id of the experiment."""
        return self.client.get_experiment_by_name(self.name).experiment_id

    def register(self, **named) -> int | None:
        """Register the content in another process; return its exit code."""
        process = start(self.environment, self.name, **named)
        process.join(600)
        return process.exitcode

    def register_at_once(self, gate: Path, **named) -> None:
        """Do the same in three processes."""
        processes = [start(self.environment, self.name, gate=gate, **named) for _ in range(3)]
        gate.touch()
        for process in processes:
            process.join(600)
        assert [process.exitcode for process in processes] == [0] * 3

    def state(self) -> dict:
        """Return what the store has of the content."""
        runs = self.client.search_runs([self.experiment])
        parents = [run for run in runs if "fingerprint" in run.data.tags]
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        experiments = self.client.search_experiments(filter_string=f"name LIKE '{self.name}%'")
        models = self.client.search_logged_models([self.experiment])
        return {
            "versions": [(v.tags, v.description, v.run_id) for v in versions],
            "parents": [(run.info.run_id, run.info.status) for run in parents],
            "children": [r.data.tags["mlflow.parentRunId"] for r in runs if r not in parents],
            "models": [model.source_run_id for model in models],
            "experiments": sorted(experiment.name for experiment in experiments),
        }


@pytest.fixture
def place(store) -> Place:
    """Names that no other test has."""
    return Place(store.environment, f"model-{store.unique}", connect())


def assert_one(place: Place) -> None:
    """Assert that there is one version, complete, of the only run."""
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


def test_several_processes_at_once(place, tmp_path):
    place.register_at_once(tmp_path / "go")
    assert_one(place)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_several_processes_without_a_store(place, tmp_path):
    (tmp_path / "mlflow.db").unlink()
    place.register_at_once(tmp_path / "go")
    assert_one(place)


def test_several_impatient_processes(place, tmp_path):
    """As if each had slept, in the middle of it, longer than the others' patience."""
    place.register_at_once(tmp_path / "go", patience=-1.0)
    assert place.register() == 0
    assert_one(place)


def test_registering_again_changes_nothing(place):
    assert place.register() == 0
    before = place.state()
    assert place.register() == 0
    assert place.state() == before
    assert_one(place)


@pytest.mark.parametrize("request_", REQUESTS)
def test_kill_at_any_request(place, request_):
    assert place.register(dies_at=request_) == -signal.SIGKILL
    assert place.state()["versions"] == []
    assert place.register() == 0
    assert_one(place)


def test_deleted_version_is_made_again_from_its_run(place):
    assert place.register() == 0
    ((_, _, run_id),) = place.state()["versions"]
    place.client.delete_model_version(place.name, "1")
    assert place.register() == 0
    assert_one(place)
    assert place.state()["versions"][0][2] == run_id


def test_run_in_progress_is_left_alone(place):
    """It is deleted once its process has ended."""
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
