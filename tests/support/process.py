"""Commands that tests run."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

from tests.support.params import ROOT


def run_python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run this interpreter with the modules of this tree; output is text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def modules_loaded(*code: str, cwd: Path) -> set[str]:
    """Return the names of all modules that a new interpreter has loaded after lines of code."""
    lines = ["import sys", *code, "print(*sys.modules)"]
    process = run_python("-c", "\n".join(lines), cwd=cwd)
    assert process.returncode == 0, process.stderr
    return set(process.stdout.split())


def assert_refused(process: subprocess.CompletedProcess, message: str) -> None:
    """Assert exit code 2 and a message without a traceback, as for a mistake of the user."""
    assert process.returncode == 2, process.stderr
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def forkserver() -> multiprocessing.context.ForkServerContext:
    """Return a context whose processes start with what takes seconds to import.

    They have the environment of the first of them; later changes have to be passed on.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flows.dvc.stages", "flows.promote", "mlflow"])
    return context
