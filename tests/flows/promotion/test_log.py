"""The log of promotions."""

import getpass
import json
import os
import socket

import mlflow
import pytest

from flows.promotion.gates import Gate
from flows.promotion.log import MAX_ENTRY, MOVED, NOT_MOVED, Entry, current_user, previous_champion
from flows.promotion.promotion import promote
from flows.promotion.registered_model import RegisteredModel


def entry(action: str, target: str | None, outcome: str | None = MOVED) -> Entry:
    return Entry(1, action, None, target, "", "", outcome=outcome)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], None),
        ([("promoted", "1")], None),
        ([("promoted", "1"), ("promoted", "2")], "1"),
        ([("promoted", "1"), ("promoted", "2", NOT_MOVED)], None),
        ([("promoted", "1"), ("moved by hand", None)], "1"),
        ([("promoted", "1"), ("moved by hand", None), ("promoted", "2")], "1"),
        ([("promoted", "1"), ("promoted", "2"), ("rolled back", "1"), ("promoted", "3")], "1"),
        ([("promoted", v) for v in "123"] + [("rolled back", "2"), ("rolled back", "1")], None),
        ([("promoted", v) for v in "121"] + [("rolled back", "2")], "1"),
    ],
)
def test_previous_champion(actions, expected):
    assert previous_champion([entry(*action) for action in actions], set("123")) == expected


@pytest.fixture
def user_at(monkeypatch):
    """Return who acts at the store of an address, whatever a variable claims."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "the boss")

    def name(uri: str) -> str:
        monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
        return current_user(mlflow)

    return name


def test_account_is_what_the_server_says(user_at, answering):
    assert user_at(answering(200, '{"user": {"username": "ann"}}')) == "ann"


def test_without_accounts_user_and_machine_act(user_at, answering):
    here = f"{getpass.getuser()}@{socket.gethostname()}"
    assert user_at("sqlite:///mlflow.db") == here
    assert user_at(answering(404, "no such page")) == here


def test_user_without_a_name_is_a_number(user_at, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid"])
    assert user_at("sqlite:///mlflow.db") == f"user {os.getuid()}@{socket.gethostname()}"


def test_entry_with_very_many_gates_fits_into_a_parameter(registered, gates):
    gates(*(Gate(f"minimum accuracy/task/{n}", 0.9, "≥ 0.5", True) for n in range(300)))
    promote("1", why="x" * 1000)
    (made,) = RegisteredModel().log.record_moves()
    assert 0 < len(made.gates) < 300
    assert len(made.text()) <= MAX_ENTRY
    assert len(json.loads(made.text())["why"]) == 1000
