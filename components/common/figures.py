"""Plots as PNG files, and self-contained HTML pages."""

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.common.files import replacing
from components.common.worker_processes import run_jobs


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels, two in a row; width and height of each in inches."""
    rows, columns = -(-count // 2), min(2, count)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        figure.delaxes(spare)
    return figure, axes[:count]


def add_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw a faint grid."""
    axes.grid(axis=axis, alpha=0.3)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; equal figures give equal bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def save_all(figures: Mapping[str, Figure], folder: Path, workers: int) -> dict[str, Path]:
    """Write figures as PNG files of a folder, in `workers` processes; return the files by name."""
    paths = {name: folder / f"{name}.png" for name in figures}
    list(run_jobs(save, list(zip(figures.values(), paths.values(), strict=True)), workers))
    return paths


def page(template: Path, context: Mapping[str, Any], plots: Mapping[str, Path]) -> str:
    """Render a Jinja template with `context` and `plots`: PNG files as Base64 by name."""
    images = {name: base64.b64encode(path.read_bytes()).decode() for name, path in plots.items()}
    return _environment(template.parent).get_template(template.name).render(context, plots=images)


@cache
def _environment(templates: Path) -> Environment:
    return Environment(loader=FileSystemLoader(templates), autoescape=True)
