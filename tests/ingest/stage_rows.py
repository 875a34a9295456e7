"""Rows of a source, and what ingest makes of them in the working directory."""

from functools import partial
from pathlib import Path

import pandas as pd

from components.common.hashing import content_id
from components.data.shards import read_index
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE
from components.ingest.records import Media, Record
from components.ingest.rows import SAMPLES
from tests.support.media import png, wav

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
