"""The most memory that the ingest stage holds, for a table of ten times as many rows."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from PIL import Image

ROWS = (10_000, 100_000)
FILES = ("samples", "quarantine", "vocabulary", "assets", "report", "page")
FOLDERS = ("media", "plots", "scratch")


def make(folder: Path, rows: int) -> None:
    """A table of `rows` rows, each with an image and a text of its own."""
    (folder / "images").mkdir(parents=True)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text", "answer"])
        for row in range(rows):
            pixels = np.frombuffer(np.int64(row).tobytes() * 24, np.uint8).reshape(8, 8, 3)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            (folder / f"images/{row}.png").write_bytes(content.getvalue())
            table.writerow([f"images/{row}.png", f"what is number {row}?", f"class {row % 10}"])


def settings(path: Path) -> None:
    """The shipped settings with the table as their source."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    table = {"files": ["table.csv"], "image": "image", "text": "text"}
    params["ingest"] |= {"source": "table", "table": table, "slices": []}
    params["tasks"] = {
        "answer": {"kind": "classification", "column": "answer", "decided_by": [], "weight": 1.0}
    }
    params["evaluate"]["prompts"] = {}
    gates = ("minimum", "maximum_drop", "maximum_robustness_drop")
    params["promote"] |= {"require": "not_worse"} | dict.fromkeys(gates)
    path.write_text(yaml.safe_dump(params))


def peak(rows: int) -> int:
    """The most memory that the stage holds, in bytes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "source", rows)
        settings(folder / "params.yaml")
        words = ["--params", "params.yaml"]
        for option in (*FILES, *FOLDERS):
            words += [f"--{option}", option]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-m", "components.ingest", *words]
        process = subprocess.Popen(command, cwd=folder, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"the ingest stage ended with status {status}")
    return usage.ru_maxrss * 1024


def measure() -> dict[str, float]:
    """The peak for fewer and for more rows, in bytes, and their ratio."""
    fewer, more = (peak(rows) for rows in ROWS)
    return {"fewer": fewer, "more": more, "ratio": more / fewer}
