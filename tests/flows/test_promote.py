"""Promotions: what is recorded, undone, seen, and left by races and kills."""

import json
import multiprocessing
import os
import signal
import sys
import uuid
from pathlib import Path

import mlflow
import pytest

from components.common.errors import InputError
from flows import promote as module
from flows.gates import Gate
from flows.promote import Desk, history, main, note_moves, promote, rollback
from flows.promotions import LONGEST, MOVED, NOT_MOVED, Entry, Overtaken, before, state
from tests.shrunk import small_params, write_params

MODEL, ALIAS = "", "champion"  # the model is a test's own
GOOD, BAD = (Gate("minimum x", value, "≥ 0.5", value >= 0.5) for value in (0.9, 0.1))

PROCESSES = multiprocessing.get_context("spawn")


def enter(patch: pytest.MonkeyPatch, *gates: Gate) -> mlflow.MlflowClient:
    """Promote here, given the gates, versions of a new model: four, the last the challenger."""
    client, name = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"]), f"m-{uuid.uuid4().hex}"
    client.create_registered_model(name)
    for number in range(1, 5):
        client.create_model_version(name, f"s3://nowhere/{number}")
    client.set_registered_model_alias(name, "challenger", "4")
    write_params(Path("params.yaml"), small_params({"register.model": name}))
    patch.setattr(sys.modules[__name__], "MODEL", name)
    patch.setattr(Desk, "gates", lambda *_: list(gates))
    return client


@pytest.fixture
def client(store, monkeypatch) -> mlflow.MlflowClient:
    """Of a store; gates let everything through."""
    return enter(monkeypatch, GOOD)


def champion(client) -> str | None:
    found = client.get_registered_model(MODEL).aliases.get(ALIAS)
    return found and str(found)


def moves(entries) -> list[tuple]:
    return [(e.action, e.source, e.target, e.outcome) for e in entries]


def test_the_challenger_is_promoted_and_recorded(client, monkeypatch):
    if "MLFLOW_TRACKING_USERNAME" not in os.environ:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    decision = promote(why="heard more")
    assert (decision.version, decision.champion, decision.promoted) == ("4", None, True)
    (entry,) = note_moves()
    assert moves([entry]) == [("promoted", None, "4", MOVED)]
    assert (entry.who, entry.why) == (os.environ["MLFLOW_TRACKING_USERNAME"], "heard more")
    assert entry.gates == [["minimum x", 0.9, "≥ 0.5", True, None, None]]
    assert champion(client) == "4"
    assert client.get_model_version(MODEL, "4").tags["gate"] == f"promoted {entry.when}"


def test_what_a_gate_refuses_stays_and_says_so(client, monkeypatch, capsys):
    promote("1")
    monkeypatch.setattr(Desk, "gates", lambda *_: [GOOD, BAD])
    assert main(["--version", "2"]) == 3
    assert "version 2 is refused by 1 of 2 gates" in capsys.readouterr().out
    assert champion(client) == "1" and len(note_moves()) == 1
    assert client.get_model_version(MODEL, "2").tags["gate"].startswith("refused 20")
    assert client.get_model_version(MODEL, "2").tags["gate"].endswith(": minimum x")
    assert main(["--version", "2", "--force", "--why", "urgent"]) == 0
    assert champion(client) == "2"
    assert moves(note_moves())[-1] == ("forced", "1", "2", MOVED)
    assert main(["--log"]) == 0
    assert ": urgent" in capsys.readouterr().out


def test_force_is_recorded_only_where_it_was_needed(client):
    promote("1", force=True)
    assert note_moves()[0].action == "promoted"


def test_a_dry_run_changes_nothing(client, monkeypatch, capsys):
    assert main(["--version", "1", "--dry-run"]) == 0
    assert "version 1 would be the champion now, the first one" in capsys.readouterr().out
    monkeypatch.setattr(Desk, "gates", lambda *_: [BAD])
    assert main(["--version", "1", "--dry-run"]) == 3
    assert client.get_registered_model(MODEL).aliases.keys() == {"challenger"}
    assert client.get_experiment_by_name(f"promotions of {MODEL}@{ALIAS}") is None
    assert client.get_model_version(MODEL, "1").tags == {}


def test_the_champion_itself_is_not_promoted_again(client, capsys):
    promote("1")
    assert main(["--version", "1"]) == 0
    assert "version 1 is the champion already" in capsys.readouterr().out
    assert len(note_moves()) == 1


def test_rolling_back_goes_further_back_each_time(client, capsys):
    for number in ("1", "2", "3"):
        promote(number)
    assert (rollback("slow").target, rollback().target) == ("2", "1")
    assert champion(client) == "1"
    assert moves(note_moves())[3:] == [
        ("rolled back", "3", "2", MOVED),
        ("rolled back", "2", "1", MOVED),
    ]
    assert main(["--rollback"]) == 2
    assert "had no other champion before" in capsys.readouterr().err
    promote("3")
    assert rollback().target == "1"


def test_a_rollback_passes_over_versions_that_were_deleted(client, capsys):
    for number in ("1", "2", "3"):
        promote(number)
    client.delete_model_version(MODEL, "2")
    assert rollback().target == champion(client) == "1"
    promote("4")
    client.delete_model_version(MODEL, "1")
    assert main(["--rollback"]) == 2
    assert "had no other champion before that is still there" in capsys.readouterr().err
    assert champion(client) == "4"


def test_a_move_by_hand_is_seen_and_can_be_undone(client):
    client.set_registered_model_alias(MODEL, ALIAS, "1")  # before there is a log
    assert moves(note_moves()) == [("moved by hand", None, "1", MOVED)]
    promote("2")
    client.set_registered_model_alias(MODEL, ALIAS, "3")
    assert moves(note_moves())[-1] == ("moved by hand", "2", "3", MOVED)
    assert len(note_moves()) == 3
    assert rollback().target == "2"


@pytest.mark.parametrize("how", ["alias", "version"])
def test_an_alias_that_a_person_removed_is_seen(client, how):
    promote("1")
    promote("2")
    if how == "alias":
        client.delete_registered_model_alias(MODEL, ALIAS)
    else:
        client.delete_model_version(MODEL, "2")
    assert moves(note_moves())[-1] == ("moved by hand", "2", None, MOVED)
    assert "2 → none" in history(note_moves())
    assert rollback().target == ("2" if how == "alias" else "1")


def test_an_intention_that_was_left_is_carried_out(client):
    promote("1")
    log = Desk().log
    log.append(Entry(2, "promoted", "1", "2", "bob", "then"))
    assert moves(note_moves())[-1] == ("promoted", "1", "2", MOVED)
    assert champion(client) == "2"


@pytest.mark.parametrize("meanwhile", ["moved", "deleted"])
def test_an_intention_yields_to_what_a_person_did_meanwhile(client, meanwhile):
    promote("1")
    log = Desk().log
    log.append(Entry(2, "promoted", "1", "2", "bob", "then"))
    if meanwhile == "moved":
        client.set_registered_model_alias(MODEL, ALIAS, "3")
    else:
        client.delete_model_version(MODEL, "2")
    entries = note_moves()
    assert moves(entries)[1] == ("promoted", "1", "2", NOT_MOVED)
    assert champion(client) == state(entries) == ("3" if meanwhile == "moved" else "1")


def test_one_that_stood_still_does_not_undo_what_came_after(client):
    """It is about to move the alias when others carry out its intention and the next one."""
    promote("1")
    log = Desk().log
    late = Entry(2, "promoted", "1", "2", "bob", "then")
    log.append(late)
    promote("3")
    log.champion = iter(["1", *["2"] * 9]).__next__  # what it saw before it stood still
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "champion", iter(["1", "2", "2"]).__next__)
        log.finish(late)
    assert champion(client) == "3" == state(note_moves())


def test_of_two_that_decide_on_the_same_champion_the_second_is_told(client, monkeypatch, capsys):
    promote("1")

    def meanwhile(*_):
        monkeypatch.setattr(Desk, "gates", lambda *_: [GOOD])
        promote("3")
        return [GOOD]

    monkeypatch.setattr(Desk, "gates", meanwhile)
    assert main(["--version", "2"]) == 4
    assert "another promotion came first" in capsys.readouterr().err
    assert champion(client) == "3" and len(note_moves()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--version", "77"], "has no version 77 in MLflow"),
        (["--version", "x"], "has no version x in MLflow"),
        (["--rollback"], "had no other champion before"),
        (["--why", "x" * 1001], "--why: found 1001 characters, expected 1000 at most"),
    ],
)
def test_mistakes_are_the_user_s(client, capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--rollback", "--force"], ["--log", "--dry-run"]])
def test_options_that_make_no_sense_together_are_refused(words):
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2


def test_without_a_model_it_says_how_to_make_one(client, capsys):
    client.delete_registered_model(MODEL)
    assert main([]) == 2
    assert f"MLflow has no registered model '{MODEL}'" in capsys.readouterr().err


def test_a_log_that_was_deleted_is_not_begun_anew(client, capsys):
    promote("1")
    log = client.get_experiment_by_name(f"promotions of {MODEL}@{ALIAS}")
    client.delete_experiment(log.experiment_id)
    assert main(["--version", "2"]) == 2
    assert "mlflow experiments restore" in capsys.readouterr().err
    assert champion(client) == "1"


def test_an_entry_with_very_many_gates_fits_into_a_parameter(client, monkeypatch):
    many = [Gate(f"minimum accuracy/task/{n}", 0.9, "≥ 0.5", True) for n in range(300)]
    monkeypatch.setattr(Desk, "gates", lambda *_: many)
    promote("1", why="x" * 1000)
    (entry,) = note_moves()
    assert 0 < len(entry.gates) < 300
    assert len(entry.text()) <= LONGEST
    assert len(json.loads(entry.text())["why"]) == 1000


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
def test_the_champion_before(actions, expected):
    assert before([entry(*action) for action in actions], set("123")) == expected


class Dead(BaseException):
    """Nothing that was to be done is done any more, as after SIGKILL."""


def die_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Die before the write of that number to MLflow from now on."""
    calls = iter(range(1, 1000))

    def counted(method):
        def call(*arguments, **options):
            if next(calls) >= number:
                raise Dead
            return method(*arguments, **options)

        return call

    for name in WRITES:
        patch.setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))


WRITES = (  # death before a read leaves what death after the write before it does
    *("create_experiment", "create_run", "set_terminated", "rename_experiment", "log_param"),
    *("set_registered_model_alias", "set_model_version_tag"),
)


@pytest.mark.parametrize("first", [True, False], ids=["the first", "later"])
def test_death_before_any_write_leaves_all_or_nothing(first, client, monkeypatch):
    old = None if first else "1"
    for number in range(1, 1000):
        client = enter(monkeypatch, GOOD)
        if not first:
            promote("1")
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, number)
            try:
                survived = main(["--version", "3"]) == 0
            except Dead:
                survived = False
        entries = note_moves()
        assert state(entries) == champion(client) in (old, "3")
        known = dict.fromkeys((old, champion(client)))
        assert [e.target for e in entries] == [version for version in known if version]
        assert main(["--version", "3"]) == 0
        assert moves(note_moves())[-1] == ("promoted", old, "3", MOVED)
        assert len(note_moves()) == 2 - first and champion(client) == "3"
        if survived:
            break
    assert number == (9 if first else 5)


def act(words: list[str], meet) -> None:
    """In a process of its own: run the command; it meets others before it appends to the log."""
    append = module.Promotions.append
    module.Promotions.append = lambda *a: (meet.wait(60), append(*a))
    Desk.gates = lambda *_: [GOOD]
    os._exit(main(words))


def act_and_die(words: list[str]) -> None:
    """In a process of its own: run the command, and die where it is about to move the alias."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    mlflow.MlflowClient.set_registered_model_alias = die
    Desk.gates = lambda *_: [GOOD]
    main(words)


def test_a_killed_process_s_intention_is_carried_out_by_the_next_one(client):
    promote("1")
    process = PROCESSES.Process(target=act_and_die, args=(["--version", "3"],))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert champion(client) == "1"
    promote("4")
    assert moves(note_moves())[1:] == [
        ("promoted", "1", "3", MOVED),
        ("promoted", "3", "4", MOVED),
    ]


@pytest.mark.parametrize("begun", [False, True], ids=["the first", "later"])
def test_of_two_at_once_one_wins_and_neither_is_half_done(begun, client):
    if begun:
        promote("1")
    meet = PROCESSES.Barrier(2)
    words = [["--version", number] for number in ("2", "3")]
    racers = [PROCESSES.Process(target=act, args=(w, meet)) for w in words]
    for process in racers:
        process.start()
    for process in racers:
        process.join()
    codes = [process.exitcode for process in racers]
    assert sorted(codes) == [0, 4]
    entries = note_moves()
    assert champion(client) == state(entries) == words[codes.index(0)][1]
    assert len(entries) == begun + 1


def test_overtaken_is_no_mistake_of_the_user():
    assert not issubclass(Overtaken, InputError)
