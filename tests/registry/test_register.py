"""A content becomes one version, whoever registers it, how often, and whoever is killed."""

import importlib
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from components.registry.journal import Journal, Owner
from components.registry.tracking import _make_database, connect
from tests.registry.registering import FINGERPRINT, MODEL, start

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


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """An empty store, which takes seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    _make_database(importlib.import_module("mlflow"), path)
    return path


@pytest.fixture
def mlflow(empty, tmp_path, monkeypatch):
    """Connected to an empty store."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return connect()


def run(mlflow, **named) -> int:
    process = start(mlflow.get_tracking_uri(), **named)
    process.join(60)
    return process.exitcode


def together(mlflow, gate: Path, **named) -> None:
    processes = [start(mlflow.get_tracking_uri(), gate=gate, **named) for _ in range(3)]
    gate.touch()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3


def state(mlflow) -> dict:
    """What the store holds of the content."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("synesthesia").experiment_id
    runs = client.search_runs([experiment])
    versions = client.search_model_versions(f"name = '{MODEL}'")
    return {
        "versions": [(v.tags, v.description, v.run_id) for v in versions],
        "parents": [
            (r.info.run_id, r.info.status) for r in runs if FINGERPRINT in r.data.tags.values()
        ],
        "children": [
            r.data.tags["mlflow.parentRunId"]
            for r in runs
            if FINGERPRINT not in r.data.tags.values()
        ],
        "models": [m.source_run_id for m in client.search_logged_models([experiment])],
        "experiments": sorted(e.name for e in client.search_experiments()),
    }


def assert_one(mlflow) -> None:
    """One version, made whole, of the only run there is."""
    found = state(mlflow)
    ((run_id, status),) = found["parents"]
    tags = {"fingerprint": FINGERPRINT, "samples": "9"}
    assert found == {
        "versions": [(tags, "a card", run_id)],
        "parents": [(run_id, "FINISHED")],
        "children": [run_id],
        "models": [run_id],
        "experiments": ["Default", "synesthesia", "synesthesia registrations"],
    }
    assert status == "FINISHED"


def test_at_once_by_several_processes_before_there_is_a_store(mlflow, tmp_path):
    (tmp_path / "mlflow.db").unlink()
    together(mlflow, gate=tmp_path / "go")
    assert_one(mlflow)


def test_at_once_by_processes_that_do_not_wait_for_each_other(mlflow, tmp_path):
    """As if each had slept, in the middle of it, longer than the others' patience."""
    together(mlflow, gate=tmp_path / "go", patience=-1.0)
    assert run(mlflow) == 0
    assert_one(mlflow)


def test_again_changes_nothing(mlflow):
    assert run(mlflow) == 0
    before = state(mlflow)
    assert run(mlflow) == 0
    assert state(mlflow) == before
    assert_one(mlflow)


@pytest.mark.parametrize("request_", REQUESTS)
def test_after_a_kill_at_any_request(mlflow, request_):
    assert run(mlflow, dies_at=request_) == -signal.SIGKILL
    assert state(mlflow)["versions"] == []
    assert run(mlflow) == 0
    assert_one(mlflow)


def test_a_version_that_a_person_deleted_is_made_again_from_the_same_run(mlflow):
    assert run(mlflow) == 0
    ((_, _, run_id),) = state(mlflow)["versions"]
    mlflow.MlflowClient().delete_model_version(MODEL, "1")
    assert run(mlflow) == 0
    assert_one(mlflow)
    assert state(mlflow)["versions"][0][2] == run_id


def test_a_run_that_another_process_is_logging_is_left_alone(mlflow):
    """And goes when that process has ended."""
    assert run(mlflow) == 0
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("synesthesia").experiment_id
    owners = {"alive": Owner.this(), "elsewhere": Owner("another machine", 1, 1)}
    for owner in owners.values():
        client.create_run(experiment, tags={"fingerprint": FINGERPRINT, "registering": str(owner)})
    assert run(mlflow) == 0
    assert len(state(mlflow)["parents"]) == 3
    for found in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        client.set_tag(found.info.run_id, "registering", f"{Owner.this().machine}/{2**22}/1")
    assert run(mlflow) == 0
    assert_one(mlflow)


def test_an_entry_of_the_journal_is_written_once(mlflow):
    first, second = (Journal(mlflow, "a journal") for _ in range(2))
    assert first.write("k/1", "a")
    assert not second.write("k/1", "b")
    assert second.write("k/2", "b")
    assert first.entries() == second.entries() == {"k/1": "a", "k/2": "b"}


def test_of_two_journals_that_are_made_at_once_one_stays(mlflow):
    first = Journal(mlflow, "a journal")
    first.write("k", "a")
    assert first._make("a journal") == first._run
    names = [e.name for e in mlflow.MlflowClient().search_experiments()]
    assert names.count("a journal") == 1 and not any("being made" in name for name in names)


def test_who_is_alive():
    this = Owner.this()
    assert Owner.read(str(this)) == this and not this.is_dead()
    assert Owner(this.machine, this.pid, this.born - 60).is_dead()  # the number was used again
    free = next(pid for pid in range(2**22 - 1, 0, -1) if not psutil.pid_exists(pid))
    assert Owner(this.machine, free, this.born).is_dead()
    assert not Owner("another machine", free, this.born).is_dead()
    assert os.uname().nodename not in str(this)
