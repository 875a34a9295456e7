"""Damaged files of tensors are named, wherever they are read."""

import ast
from collections.abc import Iterator

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.tensor_files import readable_tensors
from tests.support.params import ROOT

EXPLAINED = {  # by those that call them, as other things may be the way out
    *("components/model/folder.py", "components/huggingface/encoder_file.py"),
    "components/huggingface/models.py",
}


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(100)], ids=ascii)
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    for read in (load_file, lambda path: safe_open(path, "pt")):
        message = "a.safetensors is not safetensors: .*. Delete it and run: dvc repro"
        with pytest.raises(InputError, match=message), readable_tensors(path):
            read(path)


def test_missing_file_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="a.safetensors is missing"), readable_tensors(path):
        load_file(path)


def test_every_reader_explains_damage():
    files = {str(path.relative_to(ROOT)): path for path in (ROOT / "components").rglob("*.py")}
    found = {name for name, path in files.items() if [*unexplained(ast.parse(path.read_text()))]}
    assert found == EXPLAINED


def unexplained(node: ast.AST) -> Iterator[ast.Call]:
    """Yield calls that read safetensors outside of `readable_tensors`."""
    if isinstance(node, ast.With) and "readable_tensors" in map(called, node.items):
        return
    if called(node) in ("load_file", "safe_open"):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from unexplained(child)


def called(node: ast.AST) -> str | None:
    """Return the name of what a call or an item of `with` calls."""
    call = node.context_expr if isinstance(node, ast.withitem) else node
    return getattr(call.func, "id", None) if isinstance(call, ast.Call) else None
