"""What docs may name: settings, reason codes, options of commands, outputs of stages."""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from components.settings.pipeline import STAGES
from components.stage.arguments import option_name, parse_arguments
from flows.settings import FlowSettings
from tests.docs.pages import Command
from tests.support.params import ROOT

REASONS = {  # place of the argument
    **{"BadRow": 2, "Problem": 0, "RowError": 1, "UnusableAsset": 0, "UnusableRow": 1},
}
CUT = "…"  # stands for arguments that are left out

Schema = dict[str, Any]


@cache
def schemas() -> list[Schema]:
    """Return the JSON schema of every stage's settings."""
    return [stage.model_json_schema(by_alias=True) for stage in (*STAGES, FlowSettings)]


@cache
def sections() -> frozenset[str]:
    """Return the sections of params.yaml."""
    return frozenset(name for schema in schemas() for name in schema["properties"])


@cache
def setting_names() -> frozenset[str]:
    """Return the last parts of all keys of params.yaml."""
    tables = [table for s in schemas() for table in (s, *s.get("$defs", {}).values())]
    return frozenset(name for table in tables for name in table.get("properties", {}))


def is_setting(key: str) -> bool:
    """Return whether there is a dotted key; `*` and `<…>` stand for any part."""
    parts = [re.sub(r"<.*>", "*", part) for part in key.split(".")]
    return any(_has(schema, parts, schema) for schema in schemas())


def _has(node: Schema, parts: list[str], root: Schema) -> bool:
    if not parts:
        return True
    first, *rest = parts
    return any(
        _has(child, rest, root) for form in _forms(node, root) for child in _children(form, first)
    )


def _forms(node: Schema, root: Schema) -> Iterator[Schema]:
    """Yield what a schema allows, references and choices resolved."""
    if "$ref" in node:
        yield from _forms(root["$defs"][node["$ref"].rsplit("/", 1)[-1]], root)
    for choice in ("anyOf", "oneOf", "allOf"):
        for inner in node.get(choice, ()):
            yield from _forms(inner, root)
    if isinstance(items := node.get("items"), dict):
        yield from _forms(items, root)
    yield node


def _children(form: Schema, part: str) -> Iterator[Schema]:
    properties, others = form.get("properties", {}), form.get("additionalProperties")
    yield from (child for name, child in properties.items() if part in ("*", name))
    if isinstance(others, dict) and others:
        yield others


@cache
def reason_codes() -> frozenset[str]:
    """Return every reason code that components give."""
    paths = (ROOT / "components").rglob("*.py")
    files = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    constants = {name: text for file in files for name, text in _constants_in(file)}
    return frozenset(code for file in files for code in _codes_in(file, constants))


def _constants_in(file: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of a file's constants."""
    for node in file.body:
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant(str(text))):
                yield name, text


def _codes_in(file: ast.Module, constants: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(file):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name not in REASONS:
            continue
        named = [word.value for word in node.keywords if word.arg == "reason"]
        match next(iter([*named, *node.args[REASONS[name] :]])):
            case ast.Constant(str(code)):
                yield code
            case ast.Name(name) if name in constants:
                yield constants[name]
            case ast.Name("reason") | ast.Attribute(attr="reason"):
                pass  # passed on
            case reason:
                raise AssertionError(f"no reason code: {ast.unparse(reason)}")


class Parsed(Exception):
    """A command line is valid."""


def check_command(command: Command, monkeypatch) -> None:
    """Parse a command line with the parser of its module.

    Raises:
        SystemExit: it is not valid.
    """
    module = import_module(main_module(command.module))
    words = list(command.words)
    if stage := getattr(module, "STAGE", None):
        if "--check" in words:
            stage = module.CHECK
            words.remove("--check")
        if CUT in words:
            known = {option_name(item) for item in fields(stage.arguments)}
            assert {word for word in words if word.startswith("--")} <= known
        else:
            parse_arguments(stage.arguments, None, words)
    elif "command_line.parser" in inspect.getsource(module):
        monkeypatch.setattr(sys, "argv", [command.module, *words])
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", _parse_and_stop)
        with suppress(Parsed):
            module.main()
    else:
        assert not words, f"{command.module} has no options"


def has_name(dotted: str) -> bool:
    """Return whether a dotted name is a module, or a name in one."""
    module, _, name = dotted.rpartition(".")
    with suppress(ModuleNotFoundError):  # what is before the last dot is not a package
        if find_spec(dotted):
            return True
    return hasattr(import_module(module), name)


def main_module(name: str) -> str:
    """Return the module that `python -m NAME` runs."""
    spec = find_spec(name)
    assert spec is not None, f"there is no module {name}"
    return f"{name}.__main__" if spec.submodule_search_locations is not None else name


_parse = argparse.ArgumentParser.parse_args


def _parse_and_stop(parser: argparse.ArgumentParser, words: list[str] | None = None) -> None:
    _parse(parser, words)
    raise Parsed
