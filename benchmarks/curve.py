"""Learning curves: how good the model is against the best baseline, by the size of the data.

`python -m benchmarks.experiments curve`: each set is a table of files with a split, of which the
training and validation rows are limited per class. `components.start` proposes settings for what
is left, nothing is tuned per set, and every stage up to `train` runs, then `baselines`. A finished
cell (set, size, seed) is kept in the work folder, and not run again.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import pandas as pd
import yaml

from benchmarks.figures import markdown_table
from benchmarks.public_sets import LABEL, PUBLIC, THING
from benchmarks.stages import ROOT, make_pretrained, read_stages
from benchmarks.training import read_project_samples, read_settings
from components.common import command_line
from components.common.files import read_json, write_json
from components.common.hashing import number_from
from components.data.assets import load_assets
from components.data.samples import SPLIT, asset_column
from components.data.shards import read_assets
from components.data.tables import read_table
from components.evaluate.measure import by_task, metrics_by_task
from components.evaluate.predict import predict
from components.ingest.splits import WHOLE
from components.modalities.registry import MODALITIES
from components.model.folder import load_model
from components.start.__main__ import propose
from components.tasks.baseline import BASELINES
from components.tasks.registry import with_heads
from flows.params_file import edit

STAGES = read_stages()
ALL = "all"
SIZES = ("10", "30", "100", "300", ALL)  # training rows per class
VALIDATION = 4  # training rows per row of validation
HELD_OUT = {"test": 0.25, "validation": 0.15}  # of the things, where a set has no splits
TABLE = "table.csv"
OWN = {  # made here: the settings of the source, its modalities with the names of files, the label
    "digits": (ROOT / "examples/digits.yaml", {"image": "{}.png", "audio": "{}.wav"}, "digit"),
    "demo": (ROOT / "params.yaml", {"image": "{}.png", "text": ""}, "answer"),
}
SETS = (*PUBLIC, *OWN)
Accuracies = Mapping[str, float]  # by subset of modalities, or name of a baseline


@dataclass(frozen=True)
class Cell:
    """A model, and the baselines beside it."""

    data: str
    size: str  # one of `SIZES`
    seed: int

    def result(self, work: Path) -> Path:
        """Return the file that a finished cell has."""
        return work / f"{self.data}-{self.size}-{self.seed}.json"


def write_own(folder: Path, name: str) -> pd.DataFrame:
    """Write the files of one of the project's own sets; return its table, with its splits."""
    shipped, modalities, column = OWN[name]
    with TemporaryDirectory() as made:
        project = Path(made)
        (project / "params.yaml").write_text(shipped.read_text())
        (project / "source").mkdir()
        for stage in ("settings", "ingest"):
            STAGES[stage].run(project)
        samples = read_project_samples(project)
        samples = samples.dropna(subset=[column, *map(asset_column, modalities)])
        table = samples[[SPLIT]].assign(**{LABEL: samples[column], THING: samples["image_id"]})
        for m, pattern in modalities.items():
            ids = samples[asset_column(m)]
            cells = {}
            for asset, content in read_assets(project / "data/media" / m, set(ids)):
                cells[asset] = pattern.format(asset) if pattern else content.decode()
                if pattern:
                    (folder / cells[asset]).write_bytes(content)
            table[m] = ids.map(cells)
    return table


def made(name: str, work: Path) -> Path:
    """Return the folder of a set, with its files and its whole table; make it if need be."""
    folder = work / name
    if not (folder / TABLE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        packages = work / "packages"
        packages.mkdir(exist_ok=True)
        table = PUBLIC[name](folder, packages) if name in PUBLIC else write_own(folder, name)
        table.to_csv(folder / TABLE, index=False)
    return folder


def limited(table: pd.DataFrame, size: str, seed: int) -> pd.DataFrame:
    """Return at most `size` training rows per class, fewer for validation, and the test rows.

    Things are split by a hash of the seed, unless the table has splits. Smaller sets are part of
    larger ones.
    """
    if SPLIT not in table:
        splits = {thing: _split(str(thing), seed) for thing in table[THING].unique()}
        table = table.assign(**{SPLIT: table[THING].map(splits)})
    table = table.sample(frac=1, random_state=seed)
    if size == ALL:
        return table
    most = {"train": int(size), "validation": -(-int(size) // VALIDATION)}
    parts = [
        rows.groupby(LABEL).head(most.get(str(split), len(rows)))
        for split, rows in table.groupby(SPLIT)
    ]
    return pd.concat(parts)


def _split(thing: str, seed: int) -> str:
    place, reached = number_from(seed, "curve", thing) / WHOLE, 0.0
    for split, fraction in HELD_OUT.items():
        reached += fraction
        if place < reached:
            return split
    return "train"


def run(cell: Cell, work: Path) -> None:
    """Train and measure what a cell is about; write its accuracies on the test split."""
    source = made(cell.data, work)
    table = pd.read_csv(source / TABLE, dtype=str, keep_default_na=False)
    table = limited(table, cell.size, cell.seed)
    rows = source / f"rows-{cell.size}-{cell.seed}.csv"
    table.drop(columns=THING).to_csv(rows, index=False)
    with TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.chdir(folder):
            settings = propose(rows).settings
        (folder / "params.yaml").write_text(yaml.safe_dump(settings))
        edit(folder / "params.yaml", {"seed": cell.seed})
        make_pretrained(folder)
        for stage in _needed():
            STAGES[stage].run(folder)
        found = {"model": accuracies(folder), "baselines": baselines(folder)}
    write_json(cell.result(work), found)
    rows.unlink()


def _needed() -> list[str]:
    return [*list(STAGES)[: list(STAGES).index("train") + 1], "baselines"]


def accuracies(folder: Path) -> Accuracies:
    """Return the accuracy of a folder's model on the test split, by subset of modalities."""
    settings, samples = read_settings(folder), read_project_samples(folder)
    model = load_model(folder / "models/synesthesia")
    assets = {m: load_assets(folder / "data/tensors" / m) for m in model.config.modalities}
    test = samples[samples[SPLIT] == "test"]
    predictions = predict(model, test, assets, with_heads(settings.tasks))
    return by_task(predictions, metrics_by_task(model))["accuracy"][LABEL]


def baselines(folder: Path) -> Accuracies:
    """Return the accuracy of each baseline of a folder on the test split, by its name."""
    table = read_table(folder / "data/baselines.parquet", BASELINES)
    sums = table[table[SPLIT] == "test"].groupby("baseline", sort=False)
    sums = sums[["numerator", "denominator"]].sum()
    found = sums["numerator"] / sums["denominator"]
    return {str(name): float(value) for name, value in found.items()}


def lines(
    data: Sequence[str], sizes: Sequence[str], seeds: Sequence[int], work: Path
) -> Iterator[str]:
    """Yield the lines of the table, each as soon as its cells are done."""
    heads = ["set", "per class", "fused", "best baseline", "difference", "alone (its baseline)"]
    rows = (row(name, size, seeds, work) for name in data for size in sizes)
    return markdown_table(heads, rows)


def row(name: str, size: str, seeds: Sequence[int], work: Path) -> list[str]:
    """Return the row of a set and a size: means over seeds, in per cent."""
    cells = [Cell(name, size, seed) for seed in seeds]
    for cell in cells:
        if not cell.result(work).exists():
            run(cell, work)
    found = [read_json(cell.result(work)) for cell in cells]
    model, others = _means([f["model"] for f in found]), _means([f["baselines"] for f in found])
    *_, fused = model.values()
    best = max(others.values())
    alone = (f"{m} {model[m]:.1f} ({others[m]:.1f})" for m in MODALITIES if m in model)
    numbers = f"{fused:.1f}", f"{best:.1f}", f"{fused - best:+.1f}"
    return [name, size, *numbers, ", ".join(alone)]


def _means(found: Sequence[Accuracies]) -> Accuracies:
    return {name: 100 * fmean(values[name] for values in found) for name in found[0]}


def main(words: Sequence[str]) -> None:
    """Print the learning curves as Markdown."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--data", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="per class")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=ROOT / "work/curve", help="a folder")
    options = parser.parse_args(words)
    for line in lines(options.data, options.sizes, options.seeds, options.work.resolve()):
        print(line, flush=True)
