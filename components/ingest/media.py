"""Reading, checking and storing the media files of a source, each once."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from components.common.errors import Problem
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter
from components.data.tables import TableWriter
from components.ingest.ledger import Ledger
from components.ingest.record import BadRow, Media, Record, Rows
from components.modalities.facts import Facts
from components.modalities.inspection import INSPECT
from components.modalities.registry import MODALITIES, Modality

TYPES = pa.schema(
    [(column, pa.string()) for column in ("modality", "asset_id", "file")]
    + [("bytes", pa.int64())]
    + [(fact, pa.float64()) for fact in ("width", "height", "seconds", "rate", "characters")]
)
BATCH = 128  # rows whose files are read side by side


@dataclass(frozen=True)
class Usable:
    """A file that can be used: its content, and what it is like."""

    asset: Asset
    facts: Facts


def examine(modality: Modality, media: Media) -> Usable | Problem:
    """Read a file and check it."""
    try:
        content = media.load()
    except OSError as error:
        return Problem("file_unreadable", f"the file cannot be read: {error.strerror or error}")
    found = content if isinstance(content, Problem) else INSPECT[modality](content)
    if isinstance(found, Problem):
        return found
    return Usable(Asset(content_id(content), content), found)


@dataclass(frozen=True)
class _Batch:
    """Rows, and the files among them that nothing read before."""

    rows: list[Record | BadRow]
    files: dict[tuple[Modality, str], Future]


class Library:
    """The media shard sets of a source while they are written; a context that finishes them.

    Args:
        folder: of the media shard sets.
        ledger: what is known of files and assets.
        assets: the table of all assets and what they are like.
        workers: threads that read and check files; decoders leave Python's lock.
    """

    def __init__(self, folder: Path, ledger: Ledger, assets: TableWriter, workers: int):
        self._ledger, self._assets, self._workers = ledger, assets, workers
        self._writers = {modality: MediaWriter(folder / modality) for modality in MODALITIES}

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            for writer in self._writers.values():
                writer.close()

    def store(self, rows: Rows) -> Iterator[Record | BadRow]:
        """Pass rows on in their order, after their files are stored or found bad."""
        with ThreadPoolExecutor(self._workers) as pool:
            for batch in self._submitted(rows, pool):
                for (modality, key), future in batch.files.items():
                    self._take(modality, key, future.result())
                yield from batch.rows

    def _submitted(self, rows: Rows, pool: ThreadPoolExecutor) -> Iterator[_Batch]:
        """Batches in order, the files of the next one being read meanwhile."""
        waiting: deque[_Batch] = deque()
        while chunk := list(islice(rows, BATCH)):
            files: dict[tuple[Modality, str], Future] = {}
            for modality, media in _media(chunk):
                name = (modality, media.key)
                if name in files or any(name in batch.files for batch in waiting):
                    continue
                if self._ledger.file(*name) is None:
                    files[name] = pool.submit(examine, modality, media)
            waiting.append(_Batch(chunk, files))
            if len(waiting) == 2:
                yield waiting.popleft()
        yield from waiting

    def _take(self, modality: Modality, key: str, found: Usable | Problem) -> None:
        if isinstance(found, Problem):
            self._ledger.add_file(modality, key, found)
            return
        asset = found.asset
        self._ledger.add_file(modality, key, asset.asset_id)
        if self._ledger.new_asset(modality, asset.asset_id):
            self._writers[modality].add(asset)
            row = {"modality": modality, "asset_id": asset.asset_id, "file": key}
            facts = {name: value for name, value in found.facts.items() if name in TYPES.names}
            self._assets.add(row | {"bytes": len(asset.content)} | facts)


def _media(rows: Iterable[Record | BadRow]) -> Iterator[tuple[Modality, Media]]:
    for row in rows:
        if isinstance(row, Record):
            yield from row.media.items()
