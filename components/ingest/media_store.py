"""Reads, checks and stores the media files of a source, each once."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import inf
from pathlib import Path

import pandera.pandas as pandera
import pyarrow as pa

from components.common.errors import Problem
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter
from components.data.tables import ASSET_ID, TableWriter
from components.ingest.ledger import Ledger
from components.ingest.records import BadRow, Media, Record, Rows
from components.modalities.modality import FINGERPRINT, Facts
from components.modalities.registry import MODALITIES, inspection_of, modality

BATCH = 128  # rows whose files are read side by side
MEASURES = tuple(dict.fromkeys(fact for m in MODALITIES for fact in modality(m).measures))
LENGTHS = {m: limit.fact for m in MODALITIES if (limit := modality(m).limit)}

ASSETS = pandera.DataFrameSchema(
    {
        "modality": pandera.Column(str, pandera.Check.isin(MODALITIES)),
        "asset_id": pandera.Column(str, ASSET_ID),
        "file": pandera.Column(str),  # where the source has it, the first time
        "bytes": pandera.Column(int, pandera.Check.ge(0)),
        **{fact: pandera.Column(float, nullable=True) for fact in MEASURES},
    },
    strict=True,
    name="assets",
)
TYPES = pa.schema(
    [*((name, pa.string()) for name in ("modality", "asset_id", "file")), ("bytes", pa.int64())]
    + [(fact, pa.float64()) for fact in MEASURES]
)


def read_and_inspect(m: str, media: Media) -> tuple[Asset, Facts] | Problem:
    """Read a file and check it; return it with facts about it, or why it cannot be used."""
    try:
        content = media.load()
    except OSError as error:
        return _unreadable(error)
    if isinstance(content, Problem):
        return content
    found = inspection_of(m).inspect(content)
    return found if isinstance(found, Problem) else (Asset(content_id(content), content), found)


def look_for(m: str, media: Media) -> tuple[Asset, Facts] | Problem:
    """Return a stand-in without content for a file, which is not read; a problem if it is none."""
    try:
        media.look()
    except OSError as error:
        return _unreadable(error)
    return Asset(content_id(media.key.encode()), b""), {}


def _unreadable(error: OSError) -> Problem:
    return Problem("file_unreadable", f"the file cannot be read: {error.strerror or error}")


# Rows, and the files among them (by modality and key) that were not read before.
_Batch = tuple[list[Record | BadRow], dict[tuple[str, str], Future]]


class MediaStore:
    """The media shard sets of a source while they are written.

    `workers` threads read and check files, since decoders release Python's lock. Of each modality
    whose cells name files only the first `limit` are read, and the others looked for.
    """

    def __init__(
        self, folder: Path, ledger: Ledger, assets: TableWriter, workers: int, limit: float = inf
    ):
        self._ledger, self._assets, self._workers = ledger, assets, workers
        self._left = {m: inf if modality(m).is_inline else limit for m in MODALITIES}
        self._writers = {m: MediaWriter(folder / m) for m in MODALITIES}

    def close(self) -> None:
        """Finish the sets, which are incomplete without it."""
        for writer in self._writers.values():
            writer.close()

    def store(self, rows: Rows) -> Iterator[Record | BadRow]:
        """Yield the rows in their order, after their files are stored or found bad."""
        with ThreadPoolExecutor(self._workers) as pool:
            for chunk, files in self._submitted(rows, pool):
                for (m, key), future in files.items():
                    self._take(m, key, future.result())
                yield from chunk

    def _submitted(self, rows: Rows, pool: ThreadPoolExecutor) -> Iterator[_Batch]:
        """Yield batches in order while the files of the next one are being read."""
        waiting: deque[_Batch] = deque()
        while chunk := list(islice(rows, BATCH)):
            files: dict[tuple[str, str], Future] = {}
            records = (row for row in chunk if isinstance(row, Record))
            for m, media in (item for record in records for item in record.media.items()):
                name = (m, media.key)
                if name in files or any(name in earlier for _, earlier in waiting):
                    continue
                if self._ledger.file(*name) is None:
                    self._left[m] -= 1
                    examine = read_and_inspect if self._left[m] >= 0 else look_for
                    files[name] = pool.submit(examine, m, media)
            waiting.append((chunk, files))
            if len(waiting) == 2:
                yield waiting.popleft()
        yield from waiting

    def _take(self, m: str, key: str, found: tuple[Asset, Facts] | Problem) -> None:
        if isinstance(found, Problem):
            self._ledger.add_file(m, key, found)
            return
        asset, facts = found
        self._ledger.add_file(m, key, asset.asset_id)
        fingerprint, length = facts.get(FINGERPRINT), facts.get(LENGTHS.get(m, ""))
        known = fingerprint if isinstance(fingerprint, bytes) else None
        measured = length if isinstance(length, int | float) else None
        if self._ledger.add_asset(m, asset.asset_id, known, measured):
            self._writers[m].add(asset)
            row = {"modality": m, "asset_id": asset.asset_id, "file": key}
            measures = {name: value for name, value in facts.items() if name in MEASURES}
            self._assets.add(row | {"bytes": len(asset.content)} | measures)
