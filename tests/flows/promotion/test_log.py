"""The log of promotions."""

import getpass
import json
import os
import socket

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


def test_without_account_user_and_machine_act(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # without MLflow's file of credentials
    assert current_user() == f"{getpass.getuser()}@{socket.gethostname()}"


def test_user_without_a_name_is_a_number(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid"])
    assert current_user() == f"user {os.getuid()}@{socket.gethostname()}"


def test_account_in_file_of_credentials_acts(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text("[mlflow]\nmlflow_tracking_username = ann\n")
    assert current_user() == "ann"


def test_entry_with_very_many_gates_fits_into_a_parameter(registered, gates):
    gates(*(Gate(f"minimum accuracy/task/{n}", 0.9, "≥ 0.5", True) for n in range(300)))
    promote("1", why="x" * 1000)
    (made,) = RegisteredModel().log.record_moves()
    assert 0 < len(made.gates) < 300
    assert len(made.text()) <= MAX_ENTRY
    assert len(json.loads(made.text())["why"]) == 1000
