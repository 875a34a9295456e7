"""The command that promotes: its messages and exit codes."""

import pytest

from flows.promote import main
from flows.promotion.promotion import promote
from flows.promotion.registered_model import RegisteredModel
from tests.flows.registry import EVERY_STORE, FAILED, PASSED, moves


@pytest.mark.parametrize("database", EVERY_STORE, indirect=True)
def test_refused_version_can_be_forced(registered, gates, capsys):
    promote("1")
    gates(PASSED, FAILED)
    assert main(["--version", "2"]) == 3
    assert "version 2 is refused by 1 of 2 gates" in capsys.readouterr().out
    assert registered.champion == "1" and len(moves()) == 1
    assert registered.tags("2")["gate"].startswith("refused 20")
    assert registered.tags("2")["gate"].endswith(": minimum x")
    assert main(["--version", "2", "--force", "--why", "urgent"]) == 0
    assert registered.champion == "2"
    assert main(["--log"]) == 0
    assert ": urgent" in capsys.readouterr().out


def test_dry_run_changes_nothing(registered, gates, capsys):
    assert main(["--version", "1", "--dry-run"]) == 0
    assert "version 1 would be the champion now, the first one" in capsys.readouterr().out
    gates(FAILED)
    assert main(["--version", "1", "--dry-run"]) == 3
    client, name = registered.client, registered.name
    assert client.get_registered_model(name).aliases.keys() == {"challenger"}
    assert client.get_experiment_by_name(f"promotions of {name}@champion") is None
    assert registered.tags("1") == {}


def test_champion_is_not_promoted_again(registered, capsys):
    promote("1")
    assert main(["--version", "1"]) == 0
    assert "version 1 is the champion already" in capsys.readouterr().out
    assert len(moves()) == 1


def test_overtaken_promotion_has_its_own_exit_code(registered, gates, capsys, monkeypatch):
    promote("1")

    def judge(*_):
        gates(PASSED)
        promote("3")  # meanwhile
        return [PASSED]

    monkeypatch.setattr(RegisteredModel, "judge", judge)
    assert main(["--version", "2"]) == 4
    assert "another promotion came first" in capsys.readouterr().err
    assert registered.champion == "3" and len(moves()) == 2


@pytest.mark.parametrize("database", EVERY_STORE, indirect=True)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--version", "77"], "has no version 77 in MLflow"),
        (["--version", "x"], "has no version x in MLflow"),
        (["--rollback"], "had no other champion before"),
        (["--why", "x" * 1001], "--why: found 1001 characters, expected 1000 at most"),
    ],
)
def test_mistakes_are_refused(registered, refused, words, message):
    assert message in refused(main, words)


@pytest.mark.parametrize("words", [["--rollback", "--force"], ["--log", "--dry-run"]])
def test_contradicting_options_are_refused(refused, words):
    assert "go with a promotion" in refused(main, words)


def test_missing_model_says_how_to_make_one(registered, refused):
    registered.client.delete_registered_model(registered.name)
    found = refused(main, [])
    assert f"MLflow has no registered model '{registered.name}'. Make a model: make run" in found
