"""Promotions: what is recorded and undone, and what races and kills leave."""

import getpass
import os
import signal
import socket
import uuid
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

import mlflow
import pytest

from components.common.errors import InputError
from flows.promote import main
from flows.promotion.gates import Gate
from flows.promotion.log import MOVED, NOT_MOVED, Entry, Overtaken, PromotionLog, champion_after
from flows.promotion.promotion import history, promote, rollback
from flows.promotion.registered_model import RegisteredModel
from tests.flows.registry import EVERY_STORE, FAILED, PASSED, Registered, moves
from tests.support.process import forkserver

every_store = pytest.mark.parametrize("database", EVERY_STORE, indirect=True)


@every_store
def test_challenger_is_promoted_and_recorded(registered):
    decision = promote(why="heard more")
    assert (decision.version, decision.champion, decision.promoted) == ("4", None, True)
    (entry,) = RegisteredModel().log.record_moves()
    assert moves() == [("promoted", None, "4", MOVED)]
    here = f"{getpass.getuser()}@{socket.gethostname()}"
    who = os.environ.get("MLFLOW_TRACKING_USERNAME", here)
    assert (entry.who, entry.why) == (who, "heard more")
    assert entry.gates == [["minimum x", 0.9, "≥ 0.5", True, None, None]]
    assert registered.champion == "4"
    assert registered.tags("4")["gate"] == f"promoted {entry.when}"


def test_force_is_recorded_only_where_needed(registered, gates):
    promote("1", force=True)
    gates(PASSED, FAILED)
    promote("2", force=True)
    assert moves() == [("promoted", None, "1", MOVED), ("forced", "1", "2", MOVED)]


@every_store
def test_rollbacks_go_further_back(registered):
    for number in ("1", "2", "3"):
        promote(number)
    assert (rollback("slow").target, rollback().target) == ("2", "1")
    assert registered.champion == "1"
    assert moves()[3:] == [("rolled back", "3", "2", MOVED), ("rolled back", "2", "1", MOVED)]
    with pytest.raises(InputError, match="had no other champion before"):
        rollback()
    promote("3")
    assert rollback().target == "1"


@every_store
def test_rollback_skips_deleted_versions(registered):
    for number in ("1", "2", "3"):
        promote(number)
    registered.client.delete_model_version(registered.name, "2")
    assert rollback().target == registered.champion == "1"
    promote("4")
    registered.client.delete_model_version(registered.name, "1")
    with pytest.raises(InputError, match="had no other champion before that still exists"):
        rollback()
    assert registered.champion == "4"


def test_move_by_hand_is_recorded_and_can_be_undone(registered):
    registered.set_alias("champion", "1")  # before there is a log
    assert moves() == [("moved by hand", None, "1", MOVED)]
    promote("2")
    registered.set_alias("champion", "3")
    assert moves()[-1] == ("moved by hand", "2", "3", MOVED)
    assert len(moves()) == 3
    assert rollback().target == "2"


@every_store
@pytest.mark.parametrize("what", ["alias", "version"])
def test_removed_alias_is_recorded(registered, what):
    promote("1")
    promote("2")
    if what == "alias":
        registered.client.delete_registered_model_alias(registered.name, "champion")
    else:
        registered.client.delete_model_version(registered.name, "2")
    assert moves()[-1] == ("moved by hand", "2", None, MOVED)
    assert "2 → none" in history(RegisteredModel().log.entries())
    assert rollback().target == ("2" if what == "alias" else "1")


def test_unfinished_entry_is_carried_out(registered):
    promote("1")
    RegisteredModel().log.append(Entry(2, "promoted", "1", "2", "bob", "then"))
    assert moves()[-1] == ("promoted", "1", "2", MOVED)
    assert registered.champion == "2"


@pytest.mark.parametrize("meanwhile", ["moved", "deleted"])
def test_unfinished_entry_yields_to_what_a_person_did(registered, meanwhile):
    promote("1")
    log = RegisteredModel().log
    log.append(Entry(2, "promoted", "1", "2", "bob", "then"))
    if meanwhile == "moved":
        registered.set_alias("champion", "3")
    else:
        registered.client.delete_model_version(registered.name, "2")
    entries = log.record_moves()
    assert moves()[1] == ("promoted", "1", "2", NOT_MOVED)
    assert registered.champion == champion_after(entries)
    assert registered.champion == ("3" if meanwhile == "moved" else "1")


def test_suspended_process_does_not_undo_later_moves(registered):
    """It is about to move the alias when others carry out its entry and the next one."""
    promote("1")
    log = RegisteredModel().log
    late = Entry(2, "promoted", "1", "2", "bob", "then")
    log.append(late)
    promote("3")
    with pytest.MonkeyPatch.context() as patch:  # what it saw before it was suspended
        patch.setattr(log, "champion", iter(["1", "2", "2"]).__next__)
        log.finish(late)
    assert registered.champion == "3" == champion_after(log.record_moves())


def test_second_of_two_decisions_is_overtaken(registered, gates, monkeypatch):
    promote("1")

    def judge(*_) -> list[Gate]:
        gates(PASSED)
        promote("3")  # meanwhile
        return [PASSED]

    monkeypatch.setattr(RegisteredModel, "judge", judge)
    with pytest.raises(Overtaken):
        promote("2")
    assert registered.champion == "3" and len(moves()) == 2
    assert not issubclass(Overtaken, InputError)


@every_store
def test_deleted_log_is_not_started_anew(registered):
    promote("1")
    log = registered.client.get_experiment_by_name(f"promotions of {registered.name}@champion")
    registered.client.delete_experiment(log.experiment_id)
    with pytest.raises(InputError, match="mlflow experiments restore"):
        promote("2")
    assert registered.champion == "1"


class Killed(BaseException):
    """Nothing more is done, as after SIGKILL."""


# A death before a read leaves what a death after the write before it leaves.
WRITES = (
    *("create_experiment", "create_run", "set_terminated", "rename_experiment", "log_param"),
    *("set_registered_model_alias", "set_model_version_tag"),
)


def die_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Die before the write of this number to MLflow from now on."""
    calls = iter(range(1, 1000))

    def counted(method):
        def call(*arguments, **options):
            if next(calls) >= number:
                raise Killed
            return method(*arguments, **options)

        return call

    for name in WRITES:
        patch.setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_death_before_any_write_leaves_all_or_nothing(first, registered):
    old = None if first else "1"
    for number in range(1, 1000):
        model = Registered.create(f"m-{uuid.uuid4().hex}", versions=3)
        if not first:
            promote("1")
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, number)
            try:
                survived = main(["--version", "3"]) == 0
            except Killed:
                survived = False
        entries = RegisteredModel().log.record_moves()
        assert champion_after(entries) == model.champion in (old, "3")
        known = dict.fromkeys((old, model.champion))
        assert [e.target for e in entries] == [version for version in known if version]
        assert main(["--version", "3"]) == 0
        assert moves()[-1] == ("promoted", old, "3", MOVED)
        assert len(moves()) == 2 - first and model.champion == "3"
        if survived:
            break
    assert number == (9 if first else 5)


def start(target, *arguments):
    """Start a function in another process, with this environment."""
    process = forkserver().Process(target=target, args=(dict(os.environ), *arguments))
    process.start()
    return process


def promote_together(environment: dict[str, str], words: Sequence[str], barrier: Barrier) -> None:
    """In another process: run the command; it meets others before it appends to the log."""
    os.environ.update(environment)
    append = PromotionLog.append
    PromotionLog.append = lambda *a: (barrier.wait(60), append(*a))
    RegisteredModel.judge = lambda *_: [PASSED]
    os._exit(main(words))


def promote_and_die(environment: dict[str, str], words: Sequence[str]) -> None:
    """In another process: run the command, and die just before it moves the alias."""
    os.environ.update(environment)

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    mlflow.MlflowClient.set_registered_model_alias = die
    RegisteredModel.judge = lambda *_: [PASSED]
    main(words)


@every_store
def test_entry_of_killed_process_is_carried_out_by_the_next(registered):
    promote("1")
    process = start(promote_and_die, ["--version", "3"])
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert registered.champion == "1"
    promote("4")
    assert moves()[1:] == [("promoted", "1", "3", MOVED), ("promoted", "3", "4", MOVED)]


@every_store
@pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
def test_one_of_two_at_once_wins(begun, registered):
    if begun:
        promote("1")
    barrier = forkserver().Barrier(2)
    words = [["--version", number] for number in ("2", "3")]
    racers = [start(promote_together, w, barrier) for w in words]
    for process in racers:
        process.join()
    codes = [process.exitcode for process in racers]
    assert sorted(codes) == [0, 4]
    entries = RegisteredModel().log.record_moves()
    assert registered.champion == champion_after(entries) == words[codes.index(0)][1]
    assert len(entries) == begun + 1
