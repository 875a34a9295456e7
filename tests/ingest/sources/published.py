"""What the tests of the published data sets share: their files made small, and their how-to."""

import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

from components.ingest.record import BadRow, Record, Rows
from components.ingest.settings import IngestSettings
from components.tasks.settings import TaskSettings
from tests.shrunk import ROOT, png

HOW_TO = ROOT / "docs" / "sources.md"


def chapter(title: str) -> str:
    """What stands below a heading of the how-to, up to the next heading."""
    pattern = rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)"
    return re.search(pattern, HOW_TO.read_text(), re.M | re.S)[1]


def blocks(title: str) -> list[dict]:
    """The settings that a chapter shows, in its order."""
    return [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", chapter(title), re.S)]


def documented(title: str, place: int = 0) -> IngestSettings:
    """A section `ingest` of a chapter, the first one unless `place` says otherwise."""
    found = [block["ingest"] for block in blocks(title) if "ingest" in block]
    return IngestSettings.model_validate(found[place])


def documented_tasks(title: str) -> list[TaskSettings]:
    """The tasks of a chapter."""
    found = [task for block in blocks(title) for task in block.get("tasks", {}).values()]
    assert found, title
    return [TaskSettings.model_validate(task) for task in found]


def write(root: Path, name: str, content: bytes | str | dict | list) -> Path:
    """Write a file below the root, whatever is no bytes or text as JSON."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_images(root: Path, *names: str) -> None:
    """Write an image each, all of them different."""
    for number, name in enumerate(names):
        write(root, name, png(number))


def told(rows: Rows) -> list[tuple[str, str | None]]:
    """Every row's line, and the reason if it is bad."""
    return [(row.line, row.reason if isinstance(row, BadRow) else None) for row in rows]


def texts(rows: list[Record | BadRow]) -> dict[str, str | None]:
    """What each record says, by its line."""
    return {
        row.line: row.media["text"].load().decode() if "text" in row.media else None
        for row in rows
        if isinstance(row, Record)
    }


def peak(read: Callable[[], Rows], rows: int) -> int:
    """The most bytes of Python's memory that reading every row takes; there must be `rows`."""
    tracemalloc.start()
    try:
        kinds = Counter(type(row) for row in read())
        assert kinds == {Record: rows}
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_memory_is_flat(read: Callable[[int], Callable[[], Rows]]) -> None:
    """Six times the rows take hardly more memory; `read(rows)` prepares them, gives a reader."""
    peak(read(200), 200)  # what is loaded once
    few, many = (peak(read(rows), rows) for rows in (1_000, 6_000))
    assert many < few + 400_000, (few, many)  # 80 bytes a row: less than any record of it
