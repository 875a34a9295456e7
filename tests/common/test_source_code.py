"""The import closure of a module, and a hash that changes with any file in it."""

import pytest

from components.common import source_code
from components.common.source_code import code_hash, import_closure

FILES = {
    "components/__init__.py": '"""Docstring."""\n',
    "components/top.py": "import components.low\n",
    "components/low.py": "import json\n",
    "components/lazy.py": "def use():\n    from components.low import name\n",
    "components/typed.py": "if TYPE_CHECKING:\n    from components import low\n",
    "components/by_name.py": "PLACE = 'components.low'\n",
    "components/page.py": "PAGE = 'page.html'\n",
    "components/page.html": "<p>\n",
    "components/kinds/__init__.py": "FIRST = 1\n",
    "components/kinds/registry.py": (
        "def labels_of(kind):\n    return load_part('components.kinds', kind, 'labels')\n"
        "def head_of(kind):\n    return load_part('components.kinds', kind, 'head')\n"
    ),
    "components/kinds/a/labels.py": "",
    "components/kinds/a/head.py": "from components import low\n",
    "components/kinds/b/labels.py": "",
    "components/reads.py": "from components.kinds.registry import labels_of\n",
    "components/learns.py": "from components.kinds.registry import head_of\n",
    "components/calls.py": "load_part('components.kinds', 'a', 'labels')\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(source_code, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    source_code._module_files.cache_clear()
    source_code.read_source.cache_clear()
    code_hash.cache_clear()


def closure(*modules: str, **options) -> set[str]:
    found = import_closure(*(f"components.{module}" for module in modules), **options)
    return {path.as_posix().removeprefix("components/") for path in found}


@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("top", {"top.py", "low.py"}),
        ("lazy", {"lazy.py", "low.py"}),
        ("typed", {"typed.py"}),
        ("by_name", {"by_name.py", "low.py"}),
        ("page", {"page.py", "page.html"}),
        ("kinds.a.labels", {"kinds/__init__.py", "kinds/a/labels.py"}),
    ],
)
def test_closure_follows_imports(module, files):
    assert closure(module) == files


def test_importing_a_loader_adds_the_parts_it_loads():
    registry = {"kinds/__init__.py", "kinds/registry.py"}
    assert closure("kinds.registry") == registry
    assert closure("reads") == registry | {"reads.py", "kinds/a/labels.py", "kinds/b/labels.py"}
    assert closure("learns") == registry | {"learns.py", "kinds/a/head.py", "low.py"}
    assert closure("calls") == {"kinds/__init__.py", "calls.py"} | {
        "kinds/a/labels.py",
        "kinds/b/labels.py",
    }


def test_parts_of_other_plugins_can_be_left_out():
    only_b = {"components.kinds": ["b"]}
    assert "kinds/a/labels.py" not in closure("reads", plugins=only_b)
    assert "kinds/b/labels.py" in closure("reads", plugins=only_b)


@pytest.mark.parametrize(
    ("edited", "changes"), [("low", True), ("top", True), ("lazy", False), ("page", False)]
)
def test_hash_changes_with_files_in_the_closure_only(project, edited, changes):
    before = code_hash("components.top")
    with open(project / f"components/{edited}.py", "a") as file:
        file.write("# a comment\n")
    forget()
    assert (code_hash("components.top") != before) == changes


def test_order_of_modules_does_not_matter():
    assert code_hash("components.top", "components.lazy") == code_hash(
        "components.lazy", "components.top"
    )
