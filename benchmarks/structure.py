"""The structure of the production code: who imports whom, circles, lengths of functions."""

import ast
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from networkx import DiGraph, find_cycle, strongly_connected_components

from benchmarks.figures import REPORTED, Figure, markdown_table
from components.common.source_code import PACKAGES, ROOT, read_source

LONGEST = 25  # functions that are listed

Graph = Mapping[str, set[str]]  # name → names that it imports


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the path of every module by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def file_graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    known = modules(root)
    graph = {}
    for name, path in known.items():
        targets = {t if t in known else t.rpartition(".")[0] for t in read_source(path).imports}
        graph[name] = {t for t in targets if t in known and t != name}
    return graph


def folder_graphs(root: Path = ROOT) -> dict[str, dict[str, set[str]]]:
    """Return for every package the graph of its modules and subpackages."""
    graphs: dict[str, dict[str, set[str]]] = {}
    for source, targets in file_graph(root).items():
        for target in targets:
            parts = source.split(".")
            for depth, (a, b) in enumerate(zip(parts, target.split("."), strict=False)):
                if a != b:
                    graphs.setdefault(".".join(parts[:depth]), {}).setdefault(a, set()).add(b)
                    break
    return graphs


def circles(graph: Graph) -> list[list[str]]:
    """Return the circles of a graph, one for each set of nodes that all reach each other."""
    directed = DiGraph({name: sorted(targets) for name, targets in graph.items()})
    parts = [part for part in strongly_connected_components(directed) if len(part) > 1]
    found = [find_cycle(directed.subgraph(part), min(part)) for part in parts]
    return [[source for source, _ in circle] for circle in found]


def folder_circles(root: Path = ROOT) -> dict[str, list[list[str]]]:
    """Return the circles of modules and subpackages by package, without packages that have none."""
    found = {package: circles(graph) for package, graph in folder_graphs(root).items()}
    return {package: loops for package, loops in found.items() if loops}


@dataclass(frozen=True)
class Function:
    """A function, method or inner function."""

    place: str  # `path:line` of its `def`
    name: str  # without the class
    lines: int  # from `def` to the last line, decorators excluded


def functions(root: Path = ROOT) -> list[Function]:
    """Return every function, the longest first."""
    found = []
    for path in modules(root).values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(root).as_posix()}:{node.lineno}"
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append(Function(place, node.name, length))
    return sorted(found, key=lambda function: (-function.lines, function.place))


def line_counts(root: Path = ROOT) -> dict[str, int]:
    """Return the lines of every module, blank lines and comments included."""
    return {name: len(path.read_text().splitlines()) for name, path in modules(root).items()}


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    files, lengths = modules(project), [function.lines for function in functions(project)]
    ninth = statistics.quantiles(lengths, n=10, method="inclusive")[8]
    circles_of_folders = sum(map(len, folder_circles(project).values()))
    name = f"lines of `components/` and `flows/` in {len(files)} Python files, blank ones included"
    yield Figure(name, f"{sum(line_counts(project).values()):,}", REPORTED)
    name = f"lines per function ({len(lengths):,} functions), median"
    yield Figure(name, f"{statistics.median(lengths):g}", "≤ 8")
    yield Figure("lines per function, 90th percentile", f"{ninth:g}", "≤ 22")
    yield Figure("lines of the longest function", f"{max(lengths)}", "≤ 60")
    yield Figure("circles of files", f"{len(circles(file_graph(project)))}", "0")
    yield Figure("circles of folders", f"{circles_of_folders}", "0")


def table(project: Path) -> Iterator[str]:
    """Yield the lines of a Markdown table of the longest functions."""
    rows = [(str(f.lines), f"`{f.name}`", f.place) for f in functions(project)[:LONGEST]]
    return markdown_table(("lines", "function", "place"), rows)
