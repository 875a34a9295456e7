"""Retraining on the toy project: what is fetched, run, judged, committed and pushed, and when.

Real models are judged and exported in tests/pipeline/test_promoted.py.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.promotion.gates import Gate
from flows.promotion.promotion import Decision
from flows.settings import FlowSettings
from tests.support.clone import IDENTITY
from tests.support.params import small_params, small_settings, write_params

PASSED = Decision("2", "1", True, [Gate("minimum", 0.5, "≥ 0.4", True)])
FIRST = Decision("1", None, True, PASSED.gates)
SAME = Decision("1", "1", True)
REFUSED = Decision("2", "1", False, [Gate("minimum", 0.3, "≥ 0.4", False)])


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Set keys of the section `operate`, in a file beside the toy's own params.yaml."""
    path = tmp_path / "settings.yaml"

    def change(**operate):
        keys = {f"operate.{key}": value for key, value in operate.items()}
        write_params(path, small_params({"ingest.root": "source", **keys}))

    change()
    for module in ("flows.settings", "flows.retrain"):
        monkeypatch.setattr(f"{module}.PARAMS", path)
    return change


@pytest.fixture
def judged(monkeypatch) -> list[bool]:
    """Per model that was judged, whether a person was to be asked; every model passes."""
    import flows.retrain

    asked: list[bool] = []
    monkeypatch.setattr(flows.retrain, "judge", lambda ask, cancelled: asked.append(ask) or PASSED)
    monkeypatch.setattr(flows.retrain, "is_undecided", lambda: False)
    return asked


@pytest.fixture
def run(prefect_api, preloaded, settings, judged, empty_store, monkeypatch):
    """Run the flow in this process and return its state; MLflow's store is empty."""
    from flows.retrain import retrain

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_store}")
    return lambda: retrain(return_state=True)


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Path:
    """An empty folder, to become DVC's remote."""
    monkeypatch.setattr("flows.dvc.remote.FIRST_WAIT_SECONDS", 0)
    (tmp_path / "remote").mkdir()
    return tmp_path / "remote"


@pytest.mark.parametrize("promote", ["automatic", "ask"])
def test_change_is_run_and_judged(done, run, judged, settings, promote):
    settings(promote=promote)
    done.set("1e-5", "3e-5")
    state = run()
    assert state.is_completed() and judged == [promote == "ask"]
    assert done.ran() == ["right", "join"]


def test_nothing_new_runs_nothing(done, run, judged):
    state = run()
    assert (state.name, state.is_completed()) == ("Nothing new", True)
    assert (done.ran(), judged) == ([], [])


def test_undecided_challenger_is_judged(done, run, judged, monkeypatch):
    import flows.retrain

    monkeypatch.setattr(flows.retrain, "is_undecided", lambda: True)
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
def test_outcome_and_verdict(decision, ask, name, said):
    from flows.retrain import outcome, verdict

    assert (outcome(decision, ask), verdict(decision, ask)) == (name, said)


def test_failed_pipeline_is_not_judged(toy, run, judged, settings):
    toy.hook("right", "exit 2")
    state = run()
    assert (state.name, state.is_failed(), judged) == ("Invalid", True, [])
    assert state.message.startswith("pipeline: ")


def test_patience_is_that_of_settings():
    from flows.retrain import patience

    settings = small_settings(FlowSettings, {"operate.retries": 3, "operate.stage_hours": 0.5})
    assert patience(settings) == {"retries": 3, "stage_timeout_seconds": 1800}
    unlimited = small_settings(FlowSettings, {"operate.stage_hours": None})
    assert patience(unlimited)["stage_timeout_seconds"] is None


def test_invalid_settings_are_named(done, run, settings):
    settings(retrain="every night")
    state = run()
    assert state.name == "Invalid" and "operate.retrain" in state.message


def with_data(toy) -> None:
    """Let the first stage read a folder, as ingest does."""
    path = toy.path / "dvc.yaml"
    path.write_text(path.read_text().replace("deps: [raw.txt, step.sh]", "deps: [source, step.sh]"))
    step = toy.path / "step.sh"
    step.write_text(step.read_text().replace("sort raw.txt", "cat source/*.csv | sort"))
    (toy.path / "source").mkdir()
    (toy.path / "source" / "raw.csv").write_text("b\na\n")


def test_dropped_files_are_used_once(toy, run, judged, settings):
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


def test_conflict_in_drop_folder_runs_nothing(toy, run, settings):
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


def test_clone_of_pushed_run_has_nothing_to_do(toy, run, settings, remote, tmp_path, monkeypatch):
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


def test_failed_push_is_retried_by_next_run(toy, run, settings, remote):
    from flows.dvc import remote as module

    settings(push=True)
    toy.dvc("remote", "add", "-q", "--default", "far", str(remote / "blocked/far"))
    (remote / "blocked").write_text("a file where a folder should be")
    state = run()
    assert state.name == "Unavailable" and state.message.startswith("dvc push: ")
    (remote / "blocked").unlink()
    toy.ran()
    assert run().name == "Nothing new"
    assert toy.ran() == []
    assert any((remote / "blocked/far").rglob("*"))
    assert module.push.retries == module.RETRIES


def test_push_without_remote_runs_nothing(toy, run, settings):
    settings(push=True)
    state = run()
    assert state.name == "Invalid" and "DVC has no default remote. Add one" in state.message
    assert toy.ran() == []


def test_edited_code_runs_nothing(toy, run, settings):
    settings(commit="retrained")
    git("add", "-A")
    git("commit", "-qm", "toy")
    step = toy.path / "step.sh"
    step.write_text(step.read_text() + "# edited\n")
    state = run()
    assert state.name == "Invalid" and "step.sh: edited and not committed" in state.message
    assert toy.ran() == []


def test_decision_page():
    from flows.retrain import decision_page

    page = decision_page(REFUSED, ask=False)
    assert page.startswith("version 2 is refused by 1 of 1 gates: minimum.\n\n|")
    assert page.splitlines()[-1] == "| **fail** | minimum | 0.3 | – | ≥ 0.4 | – |"


def test_exit_codes_of_shell(done, run, settings, capsys):
    from flows.retrain import main

    assert main([]) == 0
    assert "Nothing new: nothing changed since the last run" in capsys.readouterr().out
    settings(push=True)
    assert main([]) == 2
