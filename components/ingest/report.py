"""What is in the data: numbers, plots and one page."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from pyarrow import parquet

from components.common.figures import GRID, panels
from components.common.hashing import content_id
from components.data.shards import media_of
from components.data.tables import SPLITS, read_rows
from components.ingest.ledger import Ledger
from components.modalities.image.decoding import decode
from components.modalities.registry import MODALITIES
from components.tasks.settings import TaskSettings

MEASURES = {  # of a media file → its name in plots
    "width": "image width [pixels]",
    "height": "image height [pixels]",
    "seconds": "sound [s]",
    "rate": "sampling rate [Hz]",
    "characters": "text [characters]",
}
CLASSES_SHOWN = 30
SHEET = 24  # samples on the contact sheet
THUMBNAIL = (128, 128)  # pixels at most


@dataclass(frozen=True)
class Contents:
    """The tables that a source became.

    Attributes:
        samples, assets: Parquet files.
        media: the media shard sets.
        ledger: with the uses of the samples.
    """

    samples: Path
    assets: Path
    media: Path
    ledger: Ledger


def labels(value) -> list[str]:
    """The classes in a cell of a label column."""
    if value is None:
        return []
    return [str(label) for label in value] if isinstance(value, list) else [str(value)]


def describe(contents: Contents, tasks: Mapping[str, TaskSettings]) -> dict:
    """Rows and distinct assets by split, classes by task, sizes of media, duplicates."""
    rows = dict.fromkeys(SPLITS, 0)
    classed = {  # texts, and what retrieval's assets share, may be other ones in every sample
        name: task for name, task in tasks.items() if task.kind not in ("generation", "retrieval")
    }
    classes = {name: {split: Counter() for split in SPLITS} for name in classed}
    for sample in read_rows(contents.samples):
        rows[sample["split"]] += 1
        for name, task in classed.items():
            classes[name][sample["split"]].update(labels(sample[task.column]))
    ledger = contents.ledger
    return {
        "samples": rows,
        "assets": {split: {m: ledger.count(m, split) for m in MODALITIES} for split in SPLITS},
        "classes": {
            name: {split: dict(sorted(counts.items())) for split, counts in by_split.items()}
            for name, by_split in classes.items()
        },
        "media": {
            measure: dict(zip(("least", "median", "most"), quantiles(values), strict=True))
            for measure, values in measures(contents.assets)
        },
        "duplicates": {m: ledger.duplicates(m) for m in MODALITIES},
    }


def quantiles(values: np.ndarray) -> list[float]:
    """The least, the median and the greatest."""
    return np.quantile(values, [0.0, 0.5, 1.0]).tolist()


def measures(assets: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every measure that some media file has: its name, and its values [n]."""
    for measure in MEASURES:
        column = parquet.read_table(assets, columns=[measure]).column(0).drop_null()
        if len(column):
            yield measure, column.to_numpy()


def draw(report: Mapping, assets: Path) -> dict[str, Figure]:
    """Every plot, by name."""
    figures = {"samples": bars(report["samples"], "samples by split")}
    for task, by_split in report["classes"].items():
        if any(by_split.values()):
            figures[f"classes_{task}"] = class_balance(by_split, task)
    if report["media"]:
        figures["media"] = histograms(assets, len(report["media"]))
    if report["quarantine"]:
        figures["quarantine"] = bars(report["quarantine"], "rows in quarantine by reason")
    return figures


def bars(counts: Mapping[str, int], title: str) -> Figure:
    """A bar a name, with its count."""
    figure = Figure(figsize=(7.0, 1.0 + 0.35 * len(counts)), layout="constrained")
    axis = figure.subplots()
    drawn = axis.barh(list(counts), list(counts.values()))
    axis.bar_label(drawn, [f"{count:,}" for count in counts.values()], padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set(title=title)
    axis.grid(axis="x", **GRID)
    return figure


def class_balance(by_split: Mapping[str, Mapping[str, int]], task: str) -> Figure:
    """How often each class of a task occurs in each split, as a share of the split."""
    table = pd.DataFrame(by_split).fillna(0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = (table / table.sum().clip(lower=1)).head(CLASSES_SHOWN)
    figure = Figure(figsize=(8.4, 1.4 + 0.35 * len(shown)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(SPLITS)
    for place, split in enumerate(SPLITS):
        positions = np.arange(len(shown)) + (place - 1) * height
        axis.barh(positions, shown[split], height, label=f"{split} ({int(table[split].sum()):,})")
    axis.set_yticks(range(len(shown)), shown.index)
    axis.invert_yaxis()
    more = len(table) - len(shown)
    title = f"{task}: share of the split" + (f", {more} rarer classes not shown" if more else "")
    axis.set(title=title)
    axis.grid(axis="x", **GRID)
    figure.legend(loc="outside lower center", ncols=len(SPLITS), fontsize="small")
    return figure


def histograms(assets: Path, count: int) -> Figure:
    """How large, long or fast the media files are, a panel a measure."""
    figure, axes = panels(count, 4.2, 2.6)
    for axis, (measure, values) in zip(axes, measures(assets), strict=True):
        axis.hist(values, bins=40)
        axis.set(xlabel=MEASURES[measure], ylabel="files")
        axis.grid(**GRID)
    return figure


def contact_sheet(contents: Contents, tasks: Mapping[str, TaskSettings]) -> list[dict]:
    """Some samples by a hash of their id, each with a thumbnail, its text and its labels."""
    chosen = nsmallest(
        SHEET, read_rows(contents.samples), key=lambda row: content_id(row["sample_id"].encode())
    )
    images = dict(media_of(contents.media / "image", {row["image_id"] for row in chosen}))
    texts = dict(media_of(contents.media / "text", {row["text_id"] for row in chosen}))
    return [
        {
            "id": row["sample_id"],
            "split": row["split"],
            "image": thumbnail(images[row["image_id"]]) if row["image_id"] else None,
            "text": texts[row["text_id"]].decode() if row["text_id"] else None,
            "sound": row["audio_id"] is not None,
            "labels": {name: ", ".join(labels(row[task.column])) for name, task in tasks.items()},
        }
        for row in sorted(chosen, key=lambda row: row["sample_id"])
    ]


def thumbnail(content: bytes) -> str:
    """A small PNG of an image, as Base64."""
    small = Image.fromarray(decode(content, max(THUMBNAIL)).pixels)
    small.thumbnail(THUMBNAIL)
    file = io.BytesIO()
    small.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
