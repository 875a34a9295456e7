"""The journal: entries are written once, whoever writes them."""

import os
from functools import partial

import psutil
import pytest

from components.common.errors import InputError
from components.registry.journal import Journal, Owner
from components.registry.tracking import connect

NOTE = "What the journal is for."


@pytest.fixture
def name(store) -> str:
    """The name of a journal that no other test has."""
    return f"journal-{store.unique}"


@pytest.fixture
def mlflow(store):
    return connect()


def test_entry_is_written_once(mlflow, name):
    first, second = (Journal(mlflow, name, NOTE) for _ in range(2))
    assert first.write("k/1", "a")
    assert not second.write("k/1", "b")
    assert second.write("k/2", "b")
    assert first.entries() == second.entries() == {"k/1": "a", "k/2": "b"}


def test_one_of_two_new_journals_stays(mlflow, name):
    journal = Journal(mlflow, name, NOTE)
    journal.write("k", "a")
    assert journal._create() == journal._find()
    assert journal.entries() == {"k": "a"}
    found = mlflow.MlflowClient().search_experiments(filter_string=f"name LIKE '{name}%'")
    assert [experiment.name for experiment in found] == [name]


def test_deleted_journal_is_missed(mlflow, name):
    journal = Journal(mlflow, name, NOTE)
    assert journal.entries() == {}
    assert journal.write("k", "a")
    client = mlflow.MlflowClient()
    client.delete_experiment(client.get_experiment_by_name(name).experiment_id)
    for again in (journal.entries, partial(journal.write, "k", "b")):
        with pytest.raises(InputError, match="was deleted.* Restore it: mlflow experiments rest"):
            again()


def test_dead_owners():
    this = Owner.this()
    assert Owner.read(str(this)) == this and not this.is_dead()
    assert Owner(this.machine, this.pid, this.born - 60).is_dead()  # the id was used again
    free = next(pid for pid in range(2**22 - 1, 0, -1) if not psutil.pid_exists(pid))
    assert Owner(this.machine, free, this.born).is_dead()
    assert not Owner("another machine", free, this.born).is_dead()
    assert os.uname().nodename not in str(this)
