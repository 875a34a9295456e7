"""Small files of sources, and what is read from them."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from components.ingest.records import BadRow, Record, Rows
from components.ingest.sources.source import SourceContext
from components.ingest.splits import SplitSettings
from tests.support.media import png


def context(root: Path, seed: int = 0, **splits) -> SourceContext:
    """Return the context of a source whose splits are those of a hash of the image."""
    return SourceContext(root, SplitSettings(group="image", **splits), seed)


def write(root: Path, name: str, content: bytes | str | dict | list) -> Path:
    """Write a file below the root; what is neither bytes nor text as JSON."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_images(root: Path, *names: str) -> None:
    """Write one image per name, all different."""
    for number, name in enumerate(names):
        write(root, name, png(number))


def outcomes(rows: Rows) -> list[tuple[str, str | None]]:
    """Return the id of each row, and the reason if it is bad."""
    return [(row.row_id, row.reason if isinstance(row, BadRow) else None) for row in rows]


def texts(rows: list[Record | BadRow]) -> dict[str, str | None]:
    """Return the text of each record by its id."""
    return {
        row.row_id: row.media["text"].load().decode() if "text" in row.media else None
        for row in rows
        if isinstance(row, Record)
    }


def contents(rows: Iterable[Record]) -> list[tuple]:
    """Return everything in each record, with the bytes of its media."""
    return [
        (row.row_id, row.split, dict(row.columns), {m: f.load() for m, f in row.media.items()})
        for row in rows
    ]


def peak(read: Callable[[], Rows], rows: int) -> int:
    """Return the most bytes that Python allocates while all rows are read; there must be `rows`."""
    tracemalloc.start()
    try:
        kinds = Counter(type(row) for row in read())
        assert kinds == {Record: rows}
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_memory_is_flat(read: Callable[[int], Callable[[], Rows]]) -> None:
    """Assert that five times the rows hardly take more memory.

    Args:
        read: prepares a number of rows and returns what reads them.
    """
    peak(read(200), 200)  # imports and caches
    few, many = (peak(read(rows), rows) for rows in (400, 2_000))
    assert many < few + 128_000, (few, many)  # 80 bytes per row: less than any record
