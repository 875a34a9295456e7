"""Measure the figures of docs/figures.md and print the table: `python -m benchmarks.table`.

It takes about an hour, and 30 GB of disk in the folder of temporary files: the pipeline runs from
nothing in eleven clones.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import psutil

from benchmarks.figures import GIGABYTE, markdown_table
from components.common import command_line

PARTS = (  # modules, each with `figures` of a project
    *("clones", "idle", "throughput", "steps", "preprocess"),
    *("ingest", "incremental", "flow", "start", "processors", "tabular", "edits", "structure"),
)


def lines(project: Path, parts: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the table and of what follows it, as Markdown."""
    memory = psutil.virtual_memory().total / GIGABYTE
    yield (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, no GPU, "
        f"Python {platform.python_version()}.\n"
    )
    modules = [import_module(f"benchmarks.{part}") for part in parts]
    found = (figure for module in modules for figure in module.figures(project))
    rows = ([figure.name, figure.measured, figure.bar] for figure in found)
    yield from markdown_table(["figure", "measured", "bar"], rows)
    for module in modules:
        if hasattr(module, "table"):
            yield ""
            yield from module.table(project)


def main(words: Sequence[str] | None = None) -> None:
    """Print the table. The last run of the pipeline here must be complete."""
    parser = command_line.parser(__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all of them")
    for line in lines(Path(), parser.parse_args(words).parts or PARTS):
        print(line, flush=True)


if __name__ == "__main__":
    main()
