"""What a run leaves for Git, as a commit on a branch of its own: `operate.commit`.

The commit is HEAD with dvc.lock, metrics, params.yaml and .dvc files as they lie in the working
tree, so that `dvc pull` in a clone of the branch has nothing left to do. It is made beside the
user's work: the checkout, the index and HEAD stay as they are, and the branch moves in one step.
"""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import yaml

from components.common.errors import InputError

TRIES = 5  # against others who move the branch
NOBODY = "0" * 40  # the branch before its first commit
LEFT_BY_RUNS = ("dvc.lock", "params.yaml", ".gitignore")
SHOWN = 10  # files that an error names


class Branch:
    """A branch that runs commit to, of the Git repository in the working directory.

    Args:
        name: without refs/heads.
    """

    def __init__(self, name: str):
        self._name, self._ref = name, f"refs/heads/{name}"

    def check(self) -> None:
        """See that a commit can be made, before the work that it is about.

        Raises:
            InputError: it cannot.
        """
        if _try("rev-parse", "--verify", "HEAD").returncode:
            raise InputError(
                f"operate.commit is {self._name}, but {Path.cwd()} is in no Git repository with a "
                "commit. Make one, or set operate.commit to null"
            )
        if _try("var", "GIT_COMMITTER_IDENT").returncode:
            raise InputError(
                "Git does not know who commits. Tell it: git config user.name, git config "
                "user.email"
            )
        if f"branch {self._ref}" in _git("worktree", "list", "--porcelain").splitlines():
            raise InputError(
                f"operate.commit is {self._name}, which is checked out: its files would seem "
                "edited. Check out another branch, or name another in operate.commit"
            )
        _refuse(
            _others(_changed()),
            "edited and in no commit, so dvc.lock would be about code that nobody has. Commit or "
            "stash them",
        )
        if tip := self._tip():
            theirs = _git("diff", "--name-only", "-z", f"HEAD...{tip}").split("\0")
            _refuse(
                _others(filter(None, theirs)),
                f"changed on branch {self._name} by someone, which this run would undo. Merge that "
                "branch first",
            )

    def commit(self, message: str) -> str | None:
        """Commit what runs left in the working tree; give the commit, or None if nothing is new.

        Raises:
            InputError: the branch was moved by others all the while.
        """
        head = _git("rev-parse", "HEAD").strip()
        outputs = _outputs()
        tree = _tree(path for path in _changed() if _is_left_by_runs(path, outputs))
        for _ in range(TRIES):
            tip = self._tip()
            known = (
                tip is not None and not _try("merge-base", "--is-ancestor", head, tip).returncode
            )
            if tree == _git("rev-parse", f"{tip if known else head}^{{tree}}").strip():
                return None
            parents = [parent for parent in (tip, None if known else head) if parent]
            words = [word for parent in parents for word in ("-p", parent)]
            made = _git("commit-tree", tree, *words, "-m", message).strip()
            if not _try("update-ref", "-m", "retrain", self._ref, made, tip or NOBODY).returncode:
                return made
        raise InputError(f"branch {self._name} kept moving. Commit by hand: git add, git commit")

    def _tip(self) -> str | None:
        found = _try("rev-parse", "--verify", "--quiet", self._ref)
        return found.stdout.strip() or None


def _tree(paths: Iterable[str]) -> str:
    """HEAD's tree with some files, by their paths from the top, as they lie in the working tree."""
    top = _git("rev-parse", "--show-toplevel").strip()
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git("read-tree", "HEAD", **index)
        names = "\0".join(paths)
        _git("-C", top, "update-index", "--add", "--remove", "-z", "--stdin", stdin=names, **index)
        return _git("write-tree", **index).strip()


def _changed() -> list[str]:
    """Files that differ from HEAD, new ones too, by their paths from the top."""
    options = ("--porcelain", "-z", "--untracked-files=all", "--no-renames")
    return [entry[3:] for entry in _git("status", *options).split("\0") if entry]


def _others(paths: Iterable[str]) -> list[str]:
    """Those of the paths that HEAD has and that no run leaves."""
    outputs = _outputs()
    tracked = set(_git("ls-tree", "-rz", "--name-only", "--full-tree", "HEAD").split("\0"))
    return [path for path in paths if path in tracked and not _is_left_by_runs(path, outputs)]


def _is_left_by_runs(path: str, outputs: set[str]) -> bool:
    pure = PurePosixPath(path)
    return pure.name in LEFT_BY_RUNS or pure.suffix == ".dvc" or path in outputs


def _outputs() -> set[str]:
    """The outputs that dvc.lock names, by their paths from the top; Git has those not cached."""
    prefix = _git("rev-parse", "--show-prefix").strip()
    try:
        stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return set()
    return {prefix + out["path"] for stage in stages.values() for out in stage.get("outs", [])}


def _refuse(paths: list[str], problem: str) -> None:
    if paths:
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        raise InputError(f"{', '.join(paths[:SHOWN])}{more}: {problem}")


def _git(*words: str, stdin: str = "", **environment: str) -> str:
    """What a Git command prints."""
    done = _try(*words, stdin=stdin, **environment)
    if done.returncode:
        raise InputError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _try(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
    # So that no path is quoted, and no lock is taken that a person's command may meet.
    plain = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["git", *words],
        input=stdin,
        env=os.environ | plain | environment,
        capture_output=True,
        text=True,
    )
