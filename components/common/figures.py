"""Figures as PNG files, and HTML pages that need no other file."""

import base64
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from jinja2 import Environment, FileSystemLoader
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.common.files import replacing

matplotlib.use("Agg")
GRID = {"alpha": 0.3}


def panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, two in a row, each of so many inches."""
    rows, columns = -(-count // 2), min(2, count)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        figure.delaxes(spare)
    return figure, axes[:count]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the same figure gives the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def page(template: Path, context: Mapping, figures: Mapping[str, Path]) -> str:
    """A page from a Jinja template; it gets `context` and `plots`: the PNG files as Base64."""
    environment = Environment(loader=FileSystemLoader(template.parent), autoescape=True)
    images = {name: base64.b64encode(path.read_bytes()).decode() for name, path in figures.items()}
    return environment.get_template(template.name).render(context, plots=images)
