"""What a run shows in Prefect's UI: a page of the run, one of each stage that ran, and progress."""

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

from flows.plan import Metrics, PlannedStage
from flows.stages import Outcome

WIDTH = 640  # of a picture, in pixels
COLOURS = 64  # enough for plots, in a quarter of the bytes
LONG_SECONDS = 10.0  # from when on a stage shows how far it is
BAR = re.compile(r"\s*[\w ]+: +(?P<percent>\d+)%\|.*?\| *(?P<count>\d+/\d+ \[[^\]]*\])")


def key(*words: str) -> str:
    """An artifact's key, which may have only a to z, 0 to 9 and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def show(markdown: str, *words: str, description: str | None = None) -> None:
    """A page in the UI, under a key of these words."""
    try:
        create_markdown_artifact(markdown, key(*words), description)
    except httpx.HTTPError as error:  # the server rests; what the page is about stands
        get_run_logger().warning("the page %s is not shown: %s", key(*words), error)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def run_page(outcomes: Sequence[Outcome]) -> str:
    """What happened to each stage, how long it took and why."""
    rows = [[o.name, o.what, f"{o.seconds:.1f}", o.why] for o in outcomes]
    return table(("stage", "what", "seconds", "why"), rows)


def stage_page(planned: PlannedStage, outcome: Outcome, before: Metrics) -> str:
    """Why a stage ran, its command, its metrics beside those before the run, its plots."""
    parts = [
        f"**{outcome.what}** in {outcome.seconds:.1f} s: {outcome.why}",
        f"```\n{planned.command}\n```",
    ]
    if metrics := planned.metrics():
        parts.append(metrics_table(metrics, before))
    parts += [f"### {path.stem}\n\n{picture(path)}" for path in planned.pictures()]
    return "\n\n".join(parts)


def metrics_table(metrics: Metrics, before: Metrics) -> str:
    """Metrics by name, and how they changed where there were any before."""
    rows = [[name, f"{now:g}", _change(now, before.get(name))] for name, now in metrics.items()]
    return table(("metric", "value", "change"), rows)


def _change(now: float, before: float | None) -> str:
    if before is None:
        return "new"
    return f"{now - before:+g}" if now != before else "="


def picture(path: Path) -> str:
    """A picture in Markdown, in itself: the UI reads no files of the project."""
    with Image.open(path) as image:
        image.thumbnail((WIDTH, WIDTH))
        small = image.convert("RGB").quantize(COLOURS)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return f"![{path.stem}](data:image/png;base64,{base64.b64encode(file.getvalue()).decode()})"


class Progress:
    """Passes on the lines of a stage, but turns its progress bars into one in the UI.

    Args:
        stage: whose lines they are.
        log: called with every other line.
    """

    def __init__(self, stage: str, log: Callable[[str], None]):
        self._stage, self._log = stage, log
        self._artifact: UUID | None = None
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        """Take a line."""
        if bar := BAR.match(line):
            if time.monotonic() - self._started >= LONG_SECONDS:
                self._show(float(bar["percent"]), bar["count"])
            line = line[bar.end() :].strip()
        if line:  # a carriage return before a bar leaves an empty one
            self._log(line)

    def _show(self, percent: float, text: str) -> None:
        try:
            if self._artifact is None:
                self._artifact = create_progress_artifact(
                    percent, key("progress", self._stage), text
                )
            else:
                update_progress_artifact(self._artifact, percent, text)
        except httpx.HTTPError as error:  # the server rests; the stage need not
            self._log(f"progress is not shown: {error}")
