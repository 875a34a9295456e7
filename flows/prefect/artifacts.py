"""Pages and progress bars in Prefect's UI."""

import base64
import io
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import httpx
from PIL import Image
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

WIDTH = 640  # of a picture, in pixels
COLOURS = 64  # enough for plots, in a quarter of the bytes
LONG_SECONDS = 10.0  # of a stage, before its progress is shown
BAR = re.compile(r"\s*[\w ]+: +(?P<percent>\d+)%\|.*?\| *(?P<count>\d+/\d+ \[[^\]]*\])")


def key(*words: str) -> str:
    """Return an artifact's key, which consists of a to z, 0 to 9 and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def show(markdown: str, *words: str) -> None:
    """Show a page in the UI, under a key of these words."""
    try:
        create_markdown_artifact(markdown, key(*words))
    except httpx.HTTPError as error:  # unreachable; the results themselves are unaffected
        get_run_logger().warning("the page %s is not shown: %s", key(*words), error)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def picture(path: Path) -> str:
    """Return a picture embedded in Markdown: the UI cannot read files of the project."""
    with Image.open(path) as image:
        image.thumbnail((WIDTH, WIDTH))
        small = image.convert("RGB").quantize(COLOURS)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return f"![{path.stem}](data:image/png;base64,{base64.b64encode(file.getvalue()).decode()})"


class Progress:
    """Logs the lines of a stage, and turns its progress bars into one in the UI."""

    def __init__(self, stage: str, log: Callable[[str], None]):
        self._stage, self._log = stage, log
        self._artifact: UUID | None = None
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        if bar := BAR.match(line):
            if time.monotonic() - self._started >= LONG_SECONDS:
                self._show(float(bar["percent"]), bar["count"])
            line = line[bar.end() :].strip()
        if line:  # a carriage return before a bar leaves an empty line
            self._log(line)

    def _show(self, percent: float, text: str) -> None:
        try:
            if self._artifact is None:
                name = key("progress", self._stage)
                # It is declared as either sync or async.
                self._artifact = create_progress_artifact(percent, name, text)  # pyright: ignore[reportAttributeAccessIssue]
            else:
                update_progress_artifact(self._artifact, percent, text)
        except httpx.HTTPError as error:  # Prefect is unreachable; the stage continues
            self._log(f"progress is not shown: {error}")
