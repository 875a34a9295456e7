"""The figures about the structure of the code, and its picture."""

import re

import pytest

from benchmarks import picture, structure
from tests.support.process import run_python

FILES = {
    "components/__init__.py": '"""A package."""\n',
    "components/a/__init__.py": "",
    "components/a/one.py": "from components.b.two import two\n\n\ndef one():\n    return two\n",
    "components/b/__init__.py": "",
    "components/b/two.py": "import components.b.three\n\n\ndef two():\n    pass\n",
    "components/b/three.py": "from typing import TYPE_CHECKING\nfrom components.b import two\n"
    "if TYPE_CHECKING:\n    from components.a.one import one\n",
    "flows/__init__.py": "",
    "flows/flow.py": "@task\ndef outer():\n    def inner():\n        pass\n    return inner\n",
}


@pytest.fixture
def tree(tmp_path):
    """A project in which two files import each other."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_graph_has_imports_at_run_time(tree):
    graph = structure.file_graph(tree)
    assert graph["components.a.one"] == {"components.b.two"}
    assert graph["components.b.two"] == {"components.b.three"}
    assert graph["components.b.three"] == {"components.b", "components.b.two"}


def test_circle_of_files_is_found(tree):
    circle = ["components.b.three", "components.b.two"]
    assert structure.circles(structure.file_graph(tree)) == [circle]
    assert structure.folder_circles(tree) == {"components.b": [["three", "two"]]}


def test_circle_of_folders_is_found(tree):
    (tree / "components/b/three.py").write_text("from components.a import one\n")
    (circle,) = structure.folder_circles(tree)["components"]
    assert set(circle) == {"a", "b"}


def test_functions_are_measured_from_def_to_last_line(tree):
    found = {f.name: (f.lines, f.place) for f in structure.functions(tree)}
    assert found == {
        "outer": (4, "flows/flow.py:2"),
        "inner": (2, "flows/flow.py:3"),
        "one": (2, "components/a/one.py:4"),
        "two": (2, "components/b/two.py:4"),
    }


def test_lines_include_blank_ones(tree):
    assert sum(structure.line_counts(tree).values()) == sum(
        text.count("\n") for text in FILES.values()
    )


def test_figures_of_tree(tree):
    measured = [figure.measured for figure in structure.figures(tree)]
    assert measured == ["20", "2", "3.4", "4", "1", "1"]


def test_longest_functions_come_first():
    heads, line, first, second, *_ = structure.table(structure.ROOT)
    assert heads == "| lines | function | place |" and line.startswith("|---")
    assert int(first.split("|")[1]) >= int(second.split("|")[1])


def test_picture_has_a_box_per_package(tmp_path):
    """Each is above those that it imports."""
    picture.main([str(tmp_path / "picture.svg")])
    halves = (tmp_path / "picture.svg").read_text().split('<g id="axes_2">')
    for package, half in zip(reversed(structure.PACKAGES), halves, strict=True):
        texts = re.findall(r"<text [^>]*?translate\(\S+ (\S+)\)[^>]*>([^<]*)</text>", half)
        heights = {text: float(height) for height, text in texts}
        for source, targets in structure.folder_graphs()[package].items():
            assert [t for t in targets if heights[source] >= heights[t]] == [], source


@pytest.mark.slow
def test_other_process_draws_the_same_bytes(tmp_path):
    for seed in "12":
        words = ("-m", "benchmarks.picture", str(tmp_path / seed))
        drawn = run_python(*words, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
