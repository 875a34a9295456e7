"""Draws the packages: `python -m benchmarks.picture docs/architecture.svg`.

Imports go down, from importer to imported. Lines that follow from others (a imports b, b imports c,
a imports c) are left out.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import networkx as nx
from matplotlib.figure import Figure

from benchmarks.structure import PACKAGES, ROOT, folder_graphs, line_counts
from components.common import command_line

COLOURS = {"flows": "#dbe9f6", "components": "#e3f1df"}
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "packages"}  # text as text, the same names again
SIZE, FONT_SIZE = (10, 11), 9  # inches, points


def draw(root: Path) -> str:
    """Return the picture of a project as SVG; a package's name is above its number of lines."""
    figure, stream = Figure(SIZE, layout="constrained"), io.StringIO()
    for package, axes in zip(reversed(PACKAGES), figure.subplots(len(PACKAGES)), strict=True):
        lines: Counter[str] = Counter()  # by module or subpackage
        for name, count in line_counts(root).items():
            if name.startswith(f"{package}."):
                lines[name.split(".")[1]] += count
        imports = folder_graphs(root)[package]
        graph = nx.DiGraph({name: sorted(imports[name]) for name in sorted(imports)})
        rows = {-row: names for row, names in enumerate(nx.topological_generations(graph))}
        places = nx.multipartite_layout(graph, rows, "horizontal")
        nx.draw_networkx(
            graph,
            places,
            edgelist=sorted(nx.transitive_reduction(graph).edges),
            ax=axes,
            labels={name: f"{name}\n{lines[name]:,}" for name in graph},
            bbox={"facecolor": COLOURS[package], "edgecolor": "grey", "boxstyle": "round"},
            node_color="none",
            node_size=900,
            edge_color="grey",
            font_size=FONT_SIZE,
        )
        axes.set_title(f"{package}/, {sum(lines.values()):,} lines", loc="left")
        axes.set_axis_off()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def main(words: Sequence[str] | None = None) -> None:
    """Write the picture of this project."""
    parser = command_line.parser(__doc__)
    parser.add_argument("file", type=Path, help="SVG")
    parser.parse_args(words).file.write_text(draw(ROOT))


if __name__ == "__main__":
    main()
