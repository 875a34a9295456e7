"""Retraining on the toy project: what is fetched, run, judged, committed and pushed, and when.

How real models are judged and kept is in tests/test_retrain.py.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.gates import Gate
from flows.promote import Decision
from tests.clone import IDENTITY
from tests.shrunk import small_params, small_settings, write_params

PASSED = Decision("2", "1", True, [Gate("minimum", 0.5, "≥ 0.4", True)])
BY_HAND = "promote it: python -m flows.promote --version"
FIRST = Decision("1", None, True, PASSED.gates)
SAME = Decision("1", "1", True)
REFUSED = Decision("2", "1", False, [Gate("minimum", 0.3, "≥ 0.4", False)])


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Set keys of the section `operate`; the toy's own params.yaml is no configuration of ours."""
    import flows.retrain

    path = tmp_path / "settings.yaml"

    def change(**operate):
        keys = {f"operate.{key}": value for key, value in operate.items()}
        write_params(path, small_params({"ingest.root": "source", **keys}))

    change()
    monkeypatch.setattr(flows.retrain, "PARAMS", path)
    return change


@pytest.fixture
def judged(monkeypatch) -> list[bool]:
    """Whether a person was to be asked, a value each time that a model was judged; it passes."""
    import flows.retrain

    asked: list[bool] = []
    monkeypatch.setattr(flows.retrain, "judge", lambda ask, cancelled: asked.append(ask) or PASSED)
    monkeypatch.setattr(flows.retrain, "undecided", lambda: False)
    return asked


@pytest.fixture
def run(prefect_api, settings, judged):
    """Run the flow in this process and give its state."""
    from flows.retrain import retrain

    return lambda: retrain(return_state=True)


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Path:
    """An empty folder, to be made DVC's remote."""
    import flows.remote

    monkeypatch.setattr(flows.remote, "FIRST_WAIT_SECONDS", 0)
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


@pytest.mark.parametrize("promote", ["automatic", "ask"])
def test_something_new_is_learnt_and_judged(done, run, judged, settings, promote):
    settings(promote=promote)
    done.set("1e-5", "3e-5")
    state = run()
    assert state.is_completed() and judged == [promote == "ask"]
    assert done.ran() == ["right", "join"]


def test_nothing_new_nothing_runs(done, run, judged):
    state = run()
    assert (state.name, state.is_completed()) == ("Nothing new", True)
    assert (done.ran(), judged) == ([], [])


def test_a_model_that_no_gate_was_asked_about_is_judged_though_nothing_is_new(
    done, run, judged, monkeypatch
):
    import flows.retrain

    monkeypatch.setattr(flows.retrain, "undecided", lambda: True)
    assert run().name == "Promoted"
    assert (done.ran(), judged) == ([], [False])


@pytest.mark.parametrize(
    ("decision", "ask", "name", "said"),
    [
        (PASSED, False, "Promoted", "version 2 is the champion, instead of 1"),
        (FIRST, False, "Promoted", "version 1 is the champion, the first one"),
        (
            PASSED,
            True,
            "Passed",
            "version 2 passes; promote it: python -m flows.promote --version 2",
        ),
        (REFUSED, False, "Refused", "version 2 is refused by 1 of 1 gates: minimum"),
        (REFUSED, True, "Refused", "version 2 is refused by 1 of 1 gates: minimum"),
        (SAME, False, "Nothing new", "version 1 is the champion already"),
    ],
)
def test_what_came_of_a_model_is_said(decision, ask, name, said):
    from flows.retrain import outcome, verdict

    assert (outcome(decision, ask), verdict(decision, ask)) == (name, said)


def test_a_pipeline_that_fails_is_not_judged(toy, run, judged, settings):
    toy.hook("right", "exit 2")
    state = run()
    assert (state.name, state.is_failed(), judged) == ("Invalid", True, [])
    assert state.message.startswith("pipeline: ")


def test_retries_and_time_limit_are_those_of_the_settings():
    from flows.retrain import patience

    settings = small_settings({"operate.retries": 3, "operate.stage_hours": 0.5})
    assert patience(settings) == {"retries": 3, "stage_timeout_seconds": 1800}
    unlimited = small_settings({"operate.stage_hours": None})
    assert patience(unlimited)["stage_timeout_seconds"] is None


def test_bad_settings_are_named(done, run, settings):
    settings(retrain="every night")
    state = run()
    assert state.name == "Invalid" and "operate.retrain" in state.message


def with_data(toy) -> None:
    """Let the first stage read a folder, as the stage ingest does."""
    path = toy.path / "dvc.yaml"
    path.write_text(path.read_text().replace("deps: [raw.txt, step.sh]", "deps: [source, step.sh]"))
    step = toy.path / "step.sh"
    step.write_text(step.read_text().replace("sort raw.txt", "cat source/*.csv | sort"))
    (toy.path / "source").mkdir()
    (toy.path / "source" / "raw.csv").write_text("b\na\n")


def test_dropped_files_are_learnt_from_once(toy, run, judged, settings):
    with_data(toy)
    settings(fetch="drop", drop="incoming")
    assert run().name == "Promoted"
    (toy.path / "incoming").mkdir()
    (toy.path / "incoming" / "more.csv").write_text("c\n")
    toy.ran()
    assert run().name == "Promoted"
    assert "source" in toy.ran()
    assert (toy.path / "source.txt").read_text() == "a\nb\nc\n"
    assert run().name == "Nothing new"
    assert (toy.ran(), len(judged)) == ([], 2)


def test_a_conflict_in_the_drop_folder_is_named_and_nothing_runs(toy, run, settings):
    with_data(toy)
    settings(fetch="drop", drop="incoming")
    (toy.path / "incoming").mkdir()
    (toy.path / "incoming" / "raw.csv").write_text("z\n")
    state = run()
    assert state.name == "Invalid" and "raw.csv: is in source too" in state.message
    assert toy.ran() == []


def test_imported_data_is_updated(toy, run, settings, tmp_path):
    with_data(toy)
    settings(fetch="dvc")
    (tmp_path / "published.csv").write_text("d\n")
    toy.dvc("import-url", "-q", str(tmp_path / "published.csv"), "source/published.csv")
    assert run().name == "Promoted"
    (tmp_path / "published.csv").write_text("e\n")
    assert run().name == "Promoted"
    assert (toy.path / "source.txt").read_text() == "a\nb\ne\n"
    assert run().name == "Nothing new"


def test_outputs_are_pushed_and_another_clone_has_nothing_to_do(
    toy, run, settings, remote, tmp_path, monkeypatch
):
    with_data(toy)
    toy.dvc("remote", "add", "-q", "--default", "far", str(remote))
    toy.dvc("add", "-q", "source")
    git("add", "-A")
    git("commit", "-qm", "toy")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    settings(push=True, commit="retrained", fetch="drop", drop="incoming")
    (toy.path / "incoming").mkdir()
    (toy.path / "incoming" / "more.csv").write_text("c\n")
    state = run()
    assert state.name == "Promoted", state.message
    commit = git("rev-parse", "retrained")
    assert f"commit {commit[:8]} on branch retrained" in state.message
    assert git("log", "-1", "--format=%s", commit).startswith("Retrained: version 2")
    assert run().name == "Nothing new"
    assert git("rev-parse", "retrained") == commit

    clone = tmp_path / "clone"
    git("clone", "-q", "-b", "retrained", str(toy.path), str(clone))
    shutil.rmtree(toy.path)
    subprocess.run([sys.executable, "-m", "dvc", "pull", "-q"], cwd=clone, check=True)
    monkeypatch.chdir(clone)
    assert (clone / "source" / "more.csv").exists()
    with Repo() as repo:
        assert repo.status() == {}
        assert repo.reproduce() == []


def test_a_push_that_fails_is_tried_again_and_by_the_next_run_too(toy, run, settings, remote):
    import flows.remote

    settings(push=True)
    toy.dvc("remote", "add", "-q", "--default", "far", str(remote / "blocked/far"))
    (remote / "blocked").write_text("a file where a folder should be")
    state = run()
    assert state.name == "Failed" and state.message.startswith("dvc push: ")
    (remote / "blocked").unlink()
    toy.ran()
    assert run().name == "Nothing new"
    assert toy.ran() == []
    assert any((remote / "blocked/far").rglob("*"))
    assert flows.remote.push.retries == flows.remote.TRIES_AGAIN


def test_push_without_a_remote_is_refused_before_anything_runs(toy, run, settings):
    settings(push=True)
    state = run()
    assert state.name == "Invalid" and "DVC has no default remote. Name one" in state.message
    assert toy.ran() == []


def test_commit_of_edited_code_is_refused_before_anything_runs(toy, run, settings):
    settings(commit="retrained")
    git("add", "-A")
    git("commit", "-qm", "toy")
    step = toy.path / "step.sh"
    step.write_text(step.read_text() + "# edited\n")
    state = run()
    assert state.name == "Invalid" and "step.sh: edited and in no commit" in state.message
    assert toy.ran() == []


def test_the_page_of_a_decision():
    from flows.retrain import decision_page

    page = decision_page(REFUSED, ask=False)
    assert page.startswith("version 2 is refused by 1 of 1 gates: minimum.\n\n|")
    assert page.splitlines()[-1] == "| **fail** | minimum | 0.3 | – | ≥ 0.4 | – |"


def test_shell(done, prefect_api, settings, judged, capsys):
    from flows.retrain import main

    assert main() == 0
    assert "Nothing new: nothing changed since the last run" in capsys.readouterr().out
    settings(push=True)
    assert main() == 2
    assert os.environ["TOY_HOOKS"]
