"""`dvc repro` with nothing to do, against `dvc repro` in an empty project."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

TURNS = 9


def seconds(folder: Path) -> float:
    """Wall time of one `dvc repro`."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - began


def measure(project: Path) -> dict[str, float]:
    """Medians of both, in turns, and the median of the ratios within a turn."""
    with TemporaryDirectory() as name:
        empty = Path(name)
        subprocess.run(["git", "init", "--quiet"], cwd=empty, check=True)
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=empty, check=True)
        (empty / "dvc.yaml").write_text("stages: {}\n")
        (empty / ".dvc/config").write_text((project / ".dvc/config").read_text())
        seconds(project), seconds(empty)  # caches warm
        turns = [(seconds(project), seconds(empty)) for _ in range(TURNS)]
    return {
        "ours": statistics.median(ours for ours, _ in turns),
        "empty": statistics.median(empty for _, empty in turns),
        "ratio": statistics.median(ours / empty for ours, empty in turns),
    }
