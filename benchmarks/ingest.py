"""The most memory that the ingest stage holds, for a table with ten times as many rows."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from PIL import Image

from benchmarks.figures import Figure
from benchmarks.stages import ROOT, SETTINGS, python_environment, read_stages

FEWER, MORE = 10_000, 100_000  # rows
COLUMNS = {"image": "image", "text": "text"}  # modality → column


def write_source(folder: Path, rows: int) -> None:
    """Write a table of rows, each with its own image and text."""
    (folder / "images").mkdir(parents=True)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*COLUMNS.values(), "answer"])
        for row in range(rows):
            pixels = np.frombuffer(np.int64(row).tobytes() * 24, np.uint8).reshape(8, 8, 3)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            (folder / f"images/{row}.png").write_bytes(content.getvalue())
            table.writerow([f"images/{row}.png", f"what is number {row}?", f"class {row % 10}"])


def write_settings(path: Path) -> None:
    """Write settings with the table as the source of the data."""
    ingest = {"source": {"files": ["table.csv"], "columns": COLUMNS}}
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"ingest": ingest, "tasks": {"answer": {"column": "answer"}}}))


def peak_memory(rows: int) -> int:
    """Return the most memory that the stage holds, in bytes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_source(folder / "source", rows)
        write_settings(folder / SETTINGS)
        ingest = read_stages()["ingest"]
        command = [sys.executable, "-m", ingest.module, *ingest.by_hand]
        process = subprocess.Popen(command, cwd=folder, env=python_environment(ROOT))
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"the ingest stage ended with status {status}")
    return usage.ru_maxrss * 1024


def figures(_: Path) -> Iterator[Figure]:
    """Yield the row of the table."""
    fewer, more = peak_memory(FEWER), peak_memory(MORE)
    name = f"the most memory of ingest at {MORE:,} rows, against {FEWER:,} rows"
    yield Figure(name, f"{more / fewer:.2f} × ({more / 2**20:.0f} MB)", "≤ 1.2 ×")
