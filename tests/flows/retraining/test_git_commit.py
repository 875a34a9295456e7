"""Commits to a branch, whatever a person does in the checkout."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.common.errors import InputError
from flows.retraining.git_commit import Branch
from tests.support.clone import IDENTITY

LOCK = (
    "schema: '2.0'\nstages:\n  join:\n    outs:\n    - path: reports/metrics.json\n      md5: {}\n"
)


def git(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, *words], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(params=["", "below/the top"])
def project(request, tmp_path, monkeypatch) -> Path:
    """A project in a repository, or in a folder of one, in which a run left results."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "té st")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    git("init", "-q", "-b", "main", cwd=tmp_path)
    folder = tmp_path / request.param
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    Path("code.py").write_text("1\n")
    Path("notes.txt").write_text("none\n")
    Path("params.yaml").write_text("a: 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    leave("one")
    return folder


def leave(what: str) -> None:
    """Leave the results of a run."""
    Path("dvc.lock").write_text(LOCK.format(what))
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text(what)
    Path("ünd data.dvc").write_text(what)
    Path("params.yaml").write_text(f"a: 1 # {what}\n")


def show(name: str, branch: str = "retrained") -> str:
    return git("show", f"{branch}:./{name}")


def checkout() -> tuple[str, ...]:
    """Return what a person has: HEAD, the index, the files."""
    return git("rev-parse", "HEAD"), git("ls-files", "-s"), git("status", "--porcelain")


def test_commit_has_results_and_checkout_stays(project):
    Path("notes.txt").write_text("staged\n")
    git("add", "notes.txt")
    Path("new.txt").write_text("not added\n")
    before = checkout()
    made = Branch("retrained").commit("Retrained\n\nwhy")
    assert checkout() == before
    assert git("rev-parse", "retrained") == made
    assert git("log", "--format=%s|%b|%an", "-1", made) == "Retrained|why\n|té st"
    assert git("rev-parse", f"{made}^") == git("rev-parse", "main")
    assert show("dvc.lock") == LOCK.format("one").strip()
    assert show("reports/metrics.json") == show("ünd data.dvc") == "one"
    assert show("params.yaml") == "a: 1 # one"
    assert show("notes.txt") == "none"
    assert "new.txt" not in git("ls-tree", "-r", "--name-only", made)


def test_nothing_new_is_not_committed(project):
    branch = Branch("retrained")
    made = branch.commit("one")
    assert branch.commit("again") is None
    assert git("rev-parse", "retrained") == made


def test_no_results_no_branch(project):
    git("stash", "-q", "-u")
    assert Branch("retrained").commit("nothing") is None
    assert git("branch", "--format=%(refname:short)") == "main"


def test_commits_follow_each_other_and_head(project):
    branch = Branch("retrained")
    first = branch.commit("one")
    leave("two")
    branch.check()
    second = branch.commit("two")
    assert git("rev-parse", f"{second}^@") == first
    Path("code.py").write_text("2\n")
    git("commit", "-qm", "new code", "code.py")
    branch.check()
    third = branch.commit("three")
    assert git("rev-parse", f"{third}^@").split() == [second, git("rev-parse", "main")]
    assert (show("code.py"), show("reports/metrics.json")) == ("2", "two")


def test_removed_file_is_removed(project):
    branch = Branch("retrained")
    git("add", ".")
    git("commit", "-qm", "lock")
    Path("ünd data.dvc").unlink()
    branch.commit("gone")
    assert "data.dvc" not in git("ls-tree", "-rz", "--name-only", "retrained")


def test_merged_branch_continues(project):
    branch = Branch("retrained")
    branch.commit("one")
    git("checkout", "-qf", "main")
    git("clean", "-fdq")
    git("merge", "-q", "retrained")
    branch.check()
    assert branch.commit("nothing") is None
    leave("two")
    branch.check()
    assert branch.commit("two")


def test_edited_code_is_refused(project):
    Path("code.py").write_text("2\n")
    with pytest.raises(InputError, match="code.py: edited and not committed.*Commit or stash"):
        Branch("retrained").check()


def test_results_and_new_files_are_accepted(project):
    Path("scratch.py").write_text("3\n")
    Branch("retrained").check()


def test_checked_out_branch_is_refused(project):
    git("add", ".")
    git("commit", "-qm", "all")
    with pytest.raises(InputError, match="operate.commit is main, which is checked out"):
        Branch("main").check()


def test_edits_of_others_are_not_undone(project):
    branch = Branch("retrained")
    branch.commit("one")
    git("stash", "-q", "-u")
    git("checkout", "-q", "retrained")
    Path("code.py").write_text("by hand\n")
    git("commit", "-qam", "by hand")
    git("checkout", "-q", "main")
    with pytest.raises(InputError, match="code.py: changed on branch retrained by somebody.*Merge"):
        branch.check()
    git("merge", "-q", "retrained")
    branch.check()


def test_missing_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(InputError, match="is not in a Git repository with a commit"):
        Branch("retrained").check()


def test_missing_committer_is_refused(project, monkeypatch):
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git("config", "user.useConfigOnly", "true")
    with pytest.raises(
        InputError, match="Git has no name and address for commits. Set them: git config user"
    ):
        Branch("retrained").check()


def test_concurrent_commits_are_kept(project):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: Branch("retrained").commit(f"number {n}"), range(4)))
    history = git("rev-list", "retrained", "^main").split()
    assert sorted(filter(None, made)) == sorted(history)
    assert show("reports/metrics.json") == "one"
