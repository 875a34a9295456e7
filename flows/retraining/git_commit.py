"""Commits what a run changed to a separate branch: `operate.commit`.

The commit is HEAD with dvc.lock, metrics, params.yaml and .dvc files as they are in the working
tree, so that `dvc pull` in a clone of the branch is complete. The user's work is unaffected: the
checkout, the index and HEAD stay as they are, and the branch moves in one step.
"""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import yaml

from components.common.errors import InputError, refuse

MAX_TRIES = 5  # while others move the branch
NO_COMMIT = "0" * 40  # of the branch before its first commit
CHANGED_BY_RUNS = ("dvc.lock", "params.yaml", ".gitignore")


class Branch:
    """A branch that runs commit to, of the Git repository in the working directory."""

    def __init__(self, name: str):
        self._name, self._ref = name, f"refs/heads/{name}"

    def check(self) -> None:
        """Raise InputError if a commit will not be possible, before the work that it is about."""
        if _try("rev-parse", "--verify", "HEAD").returncode:
            raise InputError(
                f"operate.commit is {self._name}, but {Path.cwd()} is not in a Git repository with "
                "a commit. Create one, or set operate.commit to null"
            )
        if _try("var", "GIT_COMMITTER_IDENT").returncode:
            raise InputError(
                "Git has no name and address for commits. Set them: git config user.name, git "
                "config user.email"
            )
        if f"branch {self._ref}" in _git("worktree", "list", "--porcelain").splitlines():
            raise InputError(
                f"operate.commit is {self._name}, which is checked out: its files would appear "
                "edited. Check out another branch, or name another in operate.commit"
            )
        refuse(
            _others(_changed()),
            "edited and not committed, so dvc.lock would refer to code that nobody has. Commit or "
            "stash them",
        )
        if tip := self._tip():
            theirs = _git("diff", "--name-only", "-z", f"HEAD...{tip}").split("\0")
            refuse(
                _others(filter(None, theirs)),
                f"changed on branch {self._name} by somebody, which this run would undo. Merge "
                "that branch first",
            )

    def commit(self, message: str) -> str | None:
        """Commit what runs changed in the working tree; return the commit, None if nothing is new.

        Raises InputError if others keep moving the branch.
        """
        head = _git("rev-parse", "HEAD").strip()
        outputs = _outputs()
        tree = _tree(path for path in _changed() if _is_changed_by_runs(path, outputs))
        for _ in range(MAX_TRIES):
            tip = self._tip()
            known = tip and not _try("merge-base", "--is-ancestor", head, tip).returncode
            if tree == _git("rev-parse", f"{tip if known else head}^{{tree}}").strip():
                return None
            parents = [parent for parent in (tip, None if known else head) if parent]
            words = [word for parent in parents for word in ("-p", parent)]
            made = _git("commit-tree", tree, *words, "-m", message).strip()
            moved = _try("update-ref", "-m", "retrain", self._ref, made, tip or NO_COMMIT)
            if not moved.returncode:
                return made
        raise InputError(f"branch {self._name} kept moving. Commit by hand: git add, git commit")

    def _tip(self) -> str | None:
        found = _try("rev-parse", "--verify", "--quiet", self._ref)
        return found.stdout.strip() or None


def _tree(paths: Iterable[str]) -> str:
    """Return HEAD's tree with some files, by paths from the top, as in the working tree."""
    top = _git("rev-parse", "--show-toplevel").strip()
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git("read-tree", "HEAD", **index)
        names = "\0".join(paths)
        _git("-C", top, "update-index", "--add", "--remove", "-z", "--stdin", stdin=names, **index)
        return _git("write-tree", **index).strip()


def _changed() -> list[str]:
    """Return files that differ from HEAD, new ones too, by paths from the top."""
    options = ("--porcelain", "-z", "--untracked-files=all", "--no-renames")
    return [entry[3:] for entry in _git("status", *options).split("\0") if entry]


def _others(paths: Iterable[str]) -> list[str]:
    """Return tracked paths that are not pipeline outputs."""
    outputs = _outputs()
    tracked = set(_git("ls-tree", "-rz", "--name-only", "--full-tree", "HEAD").split("\0"))
    return [path for path in paths if path in tracked and not _is_changed_by_runs(path, outputs)]


def _is_changed_by_runs(path: str, outputs: set[str]) -> bool:
    pure = PurePosixPath(path)
    return pure.name in CHANGED_BY_RUNS or pure.suffix == ".dvc" or path in outputs


def _outputs() -> set[str]:
    """Return the outputs in dvc.lock, by paths from the top; Git tracks those without a cache."""
    prefix = _git("rev-parse", "--show-prefix").strip()
    try:
        stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return set()
    return {prefix + out["path"] for stage in stages.values() for out in stage.get("outs", [])}


def _git(*words: str, stdin: str = "", **environment: str) -> str:
    """Return what a Git command prints."""
    done = _try(*words, stdin=stdin, **environment)
    if done.returncode:
        raise InputError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _try(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
    # So that no path is quoted, and a person's command never meets a lock.
    plain = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["git", *words],
        input=stdin,
        env=os.environ | plain | environment,
        capture_output=True,
        text=True,
    )
