"""Reading, checking and storing the media files of a source, each once."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.config.settings import MODALITIES, Modality
from components.ingest.checks import INSPECT
from components.ingest.checks.problem import Problem
from components.ingest.ledger import Ledger
from components.ingest.record import BadRow, Media, Record, Rows
from components.store.hashing import content_id
from components.store.shards import Asset, MediaWriter

BATCH = 128  # rows whose files are read side by side


def examine(modality: Modality, media: Media) -> Asset | Problem:
    """Read a file and check it."""
    try:
        content = media.load()
    except OSError as error:
        return Problem("file_unreadable", f"the file cannot be read: {error.strerror or error}")
    found = INSPECT[modality](content)
    return found if isinstance(found, Problem) else Asset(content_id(content), content)


@dataclass(frozen=True)
class _Batch:
    """Rows, and the files among them that nothing read before."""

    rows: list[Record | BadRow]
    files: dict[tuple[Modality, str], Future]


class Library:
    """The media shard sets of a source while they are written.

    Args:
        folder: of the media shard sets.
        ledger: what is known of files and assets.
        workers: threads that read and check files; decoders leave Python's lock.
    """

    def __init__(self, folder: Path, ledger: Ledger, workers: int):
        self._ledger, self._workers = ledger, workers
        self._writers = {modality: MediaWriter(folder / modality) for modality in MODALITIES}

    def store(self, rows: Rows) -> Iterator[Record | BadRow]:
        """Pass rows on in their order, after their files are stored or found bad."""
        with ThreadPoolExecutor(self._workers) as pool:
            for batch in self._submitted(rows, pool):
                for (modality, key), future in batch.files.items():
                    self._take(modality, key, future.result())
                yield from batch.rows
        for writer in self._writers.values():
            writer.close()

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

    def _take(self, modality: Modality, key: str, found: Asset | Problem) -> None:
        if isinstance(found, Problem):
            self._ledger.add_file(modality, key, found)
            return
        self._ledger.add_file(modality, key, found.asset_id)
        if self._ledger.new_asset(modality, found.asset_id):
            self._writers[modality].add(found)


def _media(rows: Iterable[Record | BadRow]) -> Iterator[tuple[Modality, Media]]:
    for row in rows:
        if isinstance(row, Record):
            yield from row.media.items()
