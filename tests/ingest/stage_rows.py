"""Rows of a source, and what the stage ingest makes of them in the working directory."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from components.common.hashing import content_id
from components.data.shards import read_index
from components.data.tables import read_table
from components.ingest import labelled, report
from components.ingest.__main__ import STAGE
from components.ingest.quarantine import QUARANTINE
from components.ingest.records import Media, Record
from components.ingest.rows import SAMPLES
from components.ingest.sources.demo import DemoSettings
from components.ingest.sources.registry import SOURCES
from components.ingest.sources.source import Source
from tests.support.media import png, wav
from tests.support.params import small_params, write_params

OUTPUTS = {
    "samples": "samples.parquet",
    "media": "media",
    "quarantine": "quarantine.parquet",
    "vocabulary": "vocabulary.json",
    "assets": "assets.parquet",
    "report": "report.json",
    "plots": "plots",
    "page": "page.html",
    "scratch": "scratch",
}
TASK = {"kind": "classification", "column": "answer"}
TABULAR = b'{"age": "3"}'
GENERATION = {"kind": "generation", "column": "text", "vocab_size": 260, "max_tokens": 9}


def run_stage(
    rows: list,
    tasks: dict | None = None,
    workers: int = 2,
    page: bool = False,
    plots: bool = False,
    measurable: bool = False,
    split: str = "test",
    **changes,
) -> int:
    """Run the stage on rows in place of the demo's; return the exit code, 0 if it succeeds.

    The page and its plots, which take most of the time, are made only if a test asks for them.
    Whether held-out rows have labels is checked only if it asks for that.
    """
    Path("source").mkdir(exist_ok=True)
    settings = {
        "ingest.max_bad_fraction": 0.9,
        "ingest.splits.validation": 0.0,
        "ingest.slices": ["voice"],
    }
    settings |= {f"ingest.{key.replace('__', '.')}": value for key, value in changes.items()}
    settings |= {"tasks": {"answer": TASK} if tasks is None else tasks, "workers": workers}
    settings["evaluate.split"] = split
    write_params(Path("params.yaml"), small_params(settings))
    words = [word for name, path in OUTPUTS.items() for word in (f"--{name}", path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "demo", Source(DemoSettings, lambda *_: iter(rows)))
        if not page and not plots:
            patch.setattr(report, "write_page", lambda *_: None)
        if not plots:
            patch.setattr(report, "draw", lambda *_: {})
        if not measurable:
            patch.setattr(labelled, "check_labels", lambda *_: None)
        try:
            STAGE.main(words)
        except SystemExit as end:
            return end.code
        finally:
            assert not list(Path().rglob(".*.tmp"))
    return 0


def file(key: str, content: bytes) -> Media:
    """Return a media file with a content."""
    return Media(key, partial(bytes, content))


def row(row_id: str, split="train", answer="yes", columns=None, **media: bytes | None) -> Record:
    """Return a record with all modalities, all usable, unless `media` says otherwise."""
    contents = {"image": png(), "text": b"is it red?", "audio": wav(), "tabular": TABULAR, **media}
    files = {m: file(f"{m} {content_id(c)}", c) for m, c in contents.items() if c is not None}
    return Record(row_id, split, files, {"answer": answer, "voice": "v", **(columns or {})})


def good(count: int) -> list[Record]:
    """Return usable rows with two classes."""
    return [row(f"good/{n}", answer="yes" if n % 2 else "no") for n in range(count)]


def samples() -> pd.DataFrame:
    """Return the samples."""
    return read_table(Path("samples.parquet"), SAMPLES)


def quarantine() -> pd.DataFrame:
    """Return the quarantine."""
    return read_table(Path("quarantine.parquet"), QUARANTINE)


def reasons() -> dict[str, str]:
    """Return the reason of each row in quarantine by its id."""
    table = quarantine()
    return dict(zip(table["row_id"], table["reason"], strict=True))


def asset_ids(modality: str) -> list[str]:
    """Return the stored assets of a modality in order."""
    return [asset for shard in read_index(Path("media") / modality) for asset in shard.asset_ids]
