"""What is in the data: figures, plots and one page."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from components.common.figures import add_grid, page, panels, save_all
from components.common.files import write_json, write_text
from components.common.hashing import content_id
from components.data.samples import SAMPLE_ID, SPLIT, SPLITS, asset_column
from components.data.shards import read_assets
from components.data.tables import count_rows, read_rows, read_where
from components.ingest.classes import suspicious
from components.ingest.conflicts import Conflict
from components.ingest.hints import imbalances, lengths, suggestions
from components.ingest.ledger import Ledger
from components.modalities.modality import Preview
from components.modalities.registry import MODALITIES, inspection_of, modality
from components.tasks.registry import labels_of
from components.tasks.settings import TaskSettings

MAX_CLASSES = 30  # in a plot
SHEET_SIZE = 24  # samples on the contact sheet
MAX_COPIES = 24  # pairs per modality on the page

Bars = Mapping[str, int]


@dataclass(frozen=True)
class Contents:
    """The tables that a source became."""

    samples: Path
    assets: Path
    media: Path  # folder of the media shard sets
    ledger: Ledger  # with the uses of assets by samples
    tasks: Mapping[str, TaskSettings]
    conflicts: Sequence[Conflict]

    def files(self, assets: Set[str]) -> dict[str, str]:
        """Return where the source has some assets, by id."""
        table = read_where(self.assets, "asset_id", assets, "asset_id", "file")
        return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def measures(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Yield modality, fact and its values [n] for every fact that some asset has."""
        for m in MODALITIES:
            for fact in modality(m).measures:
                column = read_where(self.assets, "modality", [m], fact).column(0).drop_null()
                if len(column):
                    yield m, fact, column.to_numpy()


def write_report(
    contents: Contents,
    found: Mapping[str, Any],
    plots: Path,
    page_path: Path,
    report: Path,
    workers: int,
) -> dict[str, Any]:
    """Write what is in the data as JSON, plots and a page, and return it.

    `found` holds further figures: `leaks` and `copies` by modality, `quarantine` by reason, and
    `remarks` by modality, column, or about samples. Some worker processes draw the plots.
    """
    described = describe(contents) | dict(found)
    write_page(described, contents, plots, page_path, workers)
    write_json(report, described)
    return described


def write_page(
    described: Mapping[str, Any], contents: Contents, plots: Path, page_path: Path, workers: int
) -> None:
    """Draw the plots, and write the page with them and some samples."""
    paths = save_all(draw(described, contents), plots, workers)
    context = {
        **described,
        "modalities": MODALITIES,
        "measures": {m: modality(m).measures for m in MODALITIES},
        "sheet": contact_sheet(contents),
        "conflicting": contents.conflicts,
        "copied": copies_shown(contents),
        "limits": {m: limit for m in MODALITIES if (limit := modality(m).limit)},
        "suggestions": suggestions(contents.assets),
        "imbalances": imbalances(
            {task: by_split["train"] for task, by_split in described["classes"].items()},
            contents.tasks,
        ),
    }
    template = Path(__file__).with_name("report.html.jinja")
    write_text(page_path, page(template, context, paths))


def describe(contents: Contents) -> dict[str, Any]:
    """Count rows and distinct assets by split, classes by task, sizes of media, duplicates."""
    rows = dict.fromkeys(SPLITS, 0)
    counted = {n: task for n, task in contents.tasks.items() if labels_of(task.kind).COUNTED}
    classes = {name: {split: Counter() for split in SPLITS} for name in counted}
    labels = {name: dict.fromkeys(SPLITS, 0) for name in contents.tasks}
    for (split,), count in count_rows(contents.samples, SPLIT):
        rows[split] += count
    for name, task in contents.tasks.items():
        for (split, cell), count in count_rows(contents.samples, SPLIT, task.column):
            labels[name][split] += count * (cell is not None)
            for label in classes_in(cell) if name in counted else ():
                classes[name][split][label] += count
    media: dict[str, dict[str, Any]] = {}
    for m, fact, values in contents.measures():
        least, median, most = np.quantile(values, [0.0, 0.5, 1.0]).tolist()
        media.setdefault(m, {})[fact] = {"least": least, "median": median, "most": most}
    ledger = contents.ledger
    notes = {name: suspicious(name, task, classes[name]) for name, task in counted.items()}
    return {
        "samples": rows,
        "assets": {split: {m: ledger.count(m, split) for m in MODALITIES} for split in SPLITS},
        "labels": labels,
        "conflicts": {f"{c.task}, {c.modality}": c.count for c in contents.conflicts},
        "classes": {
            name: {split: dict(sorted(counts.items())) for split, counts in by_split.items()}
            for name, by_split in classes.items()
        },
        "suspicious_classes": {name: found for name, found in notes.items() if found},
        "media": media,
        "lengths": lengths(contents.samples, ledger, contents.tasks),
        "duplicates": {m: ledger.duplicates(m) for m in MODALITIES},
    }


def classes_in(cell: Any) -> list[str]:
    """Return the classes in a cell of a label column."""
    if cell is None:
        return []
    return list(map(str, cell)) if isinstance(cell, list | tuple) else [str(cell)]


def draw(report: Mapping[str, Any], contents: Contents) -> dict[str, Figure]:
    """Return every plot by name."""
    figures = {"samples": bars(report["samples"], "samples per split")}
    for task, by_split in report["classes"].items():
        if any(by_split.values()):
            figures[f"classes_{task}"] = class_balance(by_split, task)
    if report["media"]:
        figures["media"] = histograms(contents, sum(map(len, report["media"].values())))
    if report["quarantine"]:
        figures["quarantine"] = bars(report["quarantine"], "rows in quarantine by reason")
    return figures


def bars(counts: Bars, title: str) -> Figure:
    """Plot one bar per name, with its count."""
    figure = Figure(figsize=(7.0, 1.0 + 0.35 * len(counts)), layout="constrained")
    axis = figure.subplots()
    drawn = axis.barh(list(counts), list(counts.values()))
    axis.bar_label(drawn, [f"{count:,}" for count in counts.values()], padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set(title=title)
    add_grid(axis, "x")
    return figure


def class_balance(by_split: Mapping[str, Bars], task: str) -> Figure:
    """Plot how often each class of a task occurs in each split, as a fraction of the split."""
    table = pd.DataFrame(by_split).fillna(0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = (table / table.sum().clip(lower=1)).head(MAX_CLASSES)
    figure = Figure(figsize=(8.4, 1.4 + 0.35 * len(shown)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(SPLITS)
    for place, split in enumerate(SPLITS):
        positions = np.arange(len(shown)) + (place - 1) * height
        axis.barh(positions, shown[split], height, label=f"{split} ({int(table[split].sum()):,})")
    axis.set_yticks(range(len(shown)), shown.index)
    axis.invert_yaxis()
    more = len(table) - len(shown)
    title = f"{task}: fraction of the split" + (f", {more} rarer classes not shown" if more else "")
    axis.set(title=title)
    add_grid(axis, "x")
    figure.legend(loc="outside lower center", ncols=len(SPLITS), fontsize="small")
    return figure


def histograms(contents: Contents, count: int) -> Figure:
    """Plot how large, long or fast the media files are, a panel for each of `count` facts."""
    figure, axes = panels(count, 4.2, 2.6)
    for axis, (m, fact, values) in zip(axes, contents.measures(), strict=True):
        axis.hist(values, bins=40)
        axis.set(xlabel=modality(m).measures[fact], ylabel="files")
        add_grid(axis)
    return figure


def contact_sheet(contents: Contents) -> list[dict[str, Any]]:
    """Return samples chosen by a hash of their id, each with previews and labels."""
    ids = (row[SAMPLE_ID] for row in read_rows(contents.samples, SAMPLE_ID))
    first = nsmallest(SHEET_SIZE, ids, key=lambda name: content_id(name.encode()))
    labelled = (task.column for task in contents.tasks.values())
    columns = dict.fromkeys([SAMPLE_ID, SPLIT, *map(asset_column, MODALITIES), *labelled])
    chosen = read_where(contents.samples, SAMPLE_ID, first, *columns).to_pylist()
    wanted = {m: {row[asset_column(m)] for row in chosen} for m in MODALITIES}
    previews = {m: previews_of(contents, m, assets) for m, assets in wanted.items()}
    sheet = []
    for row in sorted(chosen, key=lambda row: row[SAMPLE_ID]):
        seen = [previews[m][asset] for m in MODALITIES if (asset := row[asset_column(m)])]
        labels = {n: ", ".join(classes_in(row[t.column])) for n, t in contents.tasks.items()}
        sheet.append(
            {
                "id": row[SAMPLE_ID],
                "split": row[SPLIT],
                **shown(seen),
                "labels": labels,
                "conflicts": {f"{c.task}, {c.modality}": c.count for c in contents.conflicts},
            }
        )
    return sheet


def copies_shown(contents: Contents) -> list[dict[str, Any]]:
    """Return pairs of assets of different splits that are alike, with previews and files."""
    pairs = []
    for m in MODALITIES:
        _, found = contents.ledger.copies(m, MAX_COPIES)
        wanted = {asset for row in found for asset in row[:2]}
        previews, files = previews_of(contents, m, wanted), contents.files(wanted)
        for asset, copy, split in found:
            seen = [previews[asset], previews[copy]]
            pairs.append({"files": [files[asset], files[copy]], "split": split, **shown(seen)})
    return pairs


def previews_of(contents: Contents, modality: str, assets: Set[str]) -> dict[str, Preview]:
    """Return the previews of some assets of a modality, by id."""
    found = read_assets(contents.media / modality, assets)
    return {asset: inspection_of(modality).preview(content) for asset, content in found}


def shown(previews: Sequence[Preview]) -> dict[str, list[str]]:
    """Return previews as the page shows them: PNG files in base64, and texts."""
    return {
        "images": [base64.b64encode(each.png).decode() for each in previews if each.png],
        "texts": [each.text for each in previews if each.text],
    }
