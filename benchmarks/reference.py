"""The page of all settings: `python -m benchmarks.reference docs/params.md`.

Types, ranges and defaults are those of the classes that check params.yaml; the sentences are the
strings below their attributes.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from inspect import getsource, isclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, get_args, get_origin

from benchmarks.figures import markdown_table
from components.common import command_line
from components.common.files import write_text
from components.ingest.sources.voices import Voice
from components.modalities.registry import MODALITIES, PerModality, modality
from components.settings.pipeline import STAGES, PipelineSettings
from components.stage.settings import OneOf, Section, keys_of
from flows.settings import FlowSettings

HEADS = ("key", "value", "default", "meaning")
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "word",
}
LARGEST = 2**31  # greater bounds are those of the machine
INTRODUCTION = """\
# Settings

All settings of `params.yaml`, made by `python -m benchmarks.reference docs/params.md`. Any key and
any section may be left out, except for `ingest.root`, which DVC itself reads from the file, and
`tasks`, which say what is to be learnt. `python -m flows.check` names everything that is wrong in a
file. `data/settings.yaml` holds the settings of the last run, defaults included.

`<name>` stands for a word of your own. A value of several kinds is the word alone, or a mapping
with `kind` and the options of that kind, which is in brackets behind their keys.
"""


class AllSettings(PipelineSettings, FlowSettings):
    """Everything that params.yaml may hold."""


def main(words: list[str] | None = None) -> None:
    """Write the page to a file."""
    parser = command_line.parser(__doc__)
    parser.add_argument("page", type=Path)
    write_text(parser.parse_args(words).page, page())


def page() -> str:
    """Return the page as Markdown."""
    found: dict[str, dict[tuple[str, ...], list[str]]] = {}  # by section: row → kinds that have it
    for kind, row in rows(AllSettings):
        found.setdefault(row[0].split(".")[0], {}).setdefault(row, []).append(kind)
    order = {key: None for sections in (*STAGES, FlowSettings) for key in keys_of(sections)}
    names = list(dict.fromkeys(key.split(".")[0] for key in order))
    tables = {name: list(map(with_kinds, found[name].items())) for name in names}
    alone = [row for table in tables.values() if len(table) == 1 for row in table]
    parts = [INTRODUCTION.strip(), "\n".join(markdown_table(HEADS, alone))]
    for name, table in tables.items():
        if len(table) > 1:
            parts += [f"## {name}", "\n".join(markdown_table(HEADS, table))]
    return "\n\n".join(parts) + "\n"


def with_kinds(row: tuple[tuple[str, ...], list[str]]) -> list[str]:
    """Return a row with the kinds that have its key behind it."""
    (key, *cells), kinds = row
    return [f"`{key}`" + (f" ({', '.join(kinds)})" if any(kinds) else ""), *cells]


def rows(
    section: type[Section], prefix: str = "", kind: str = ""
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the rows of a section and of those inside it, each with the kind that has it.

    `prefix` begins their keys.
    """
    values = section.model_json_schema()["properties"]
    for name, field in section.model_fields.items():
        key = field.alias or name
        if key == "kind":
            continue
        inner = list(inner_sections(field.annotation, field.metadata))
        meaning = sentence(section, name)
        if meaning or not inner or inner[0][1]:
            place = inner[0][0] if inner and inner[0][1] else ""
            value, default = values[key], yaml_of(values[key].get("default", {}))
            yield kind, (f"{prefix}{key}{place}", value_of(value, inner), default, meaning)
        for place, of_kind, below in inner:
            yield from rows(below, f"{prefix}{key}{place}.", of_kind or kind)


def inner_sections(
    annotation: Any, metadata: Sequence[Any] = ()
) -> Iterator[tuple[str, str, type[Section]]]:
    """Yield the sections in a value: the end of their keys, their kind, and their class."""
    for mark in metadata:
        if isinstance(mark, OneOf):
            yield from (("", kind, options) for kind, options in mark.options.items())
            return
        if isinstance(mark, PerModality):
            yield from ((f".{m}", "", getattr(modality(m), mark.part)) for m in MODALITIES)
            return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from inner_sections(arguments[0], arguments[1:])
    elif annotation is Voice:  # written as a word
        return
    elif isclass(annotation) and issubclass(annotation, Section):
        yield "", "", annotation
    else:
        named = isclass(origin) and issubclass(origin, Mapping)
        for argument in arguments:
            for place, kind, section in inner_sections(argument):
                yield (".<name>" if named else "") + place, kind, section


def value_of(schema: Mapping[str, Any], inner: Sequence[tuple[str, str, Any]]) -> str:
    """Return what a value may be, in words."""
    if kinds := [kind for _, kind, _ in inner if kind]:
        return ", ".join(kinds)
    if choices := schema.get("anyOf"):
        return " or ".join(value_of(choice, ()) for choice in choices)
    if words := schema.get("enum"):
        return ", ".join(map(str, words))
    bounds = [
        f"{sign} {bound:g}"
        for name, sign in BOUNDS.items()
        if (bound := schema.get(name)) is not None and bound < LARGEST
    ]
    if isinstance(step := schema.get("multipleOf"), int):
        bounds.append(f"a multiple of {step}")
    return " ".join([TYPES[schema.get("type", "object")], ", ".join(bounds)]).strip()


def yaml_of(default: Any) -> str:
    """Return a default as params.yaml has it, without those that sections consist of."""
    return "" if isinstance(default, dict) else f"`{json.dumps(default)}`".replace('"', "")


def sentence(section: type[Section], attribute: str) -> str:
    """Return the string below an attribute of a class, or of one that it is inherited from."""
    sections = (base for base in section.__mro__ if issubclass(base, Section))
    return next(filter(None, (sentences(base).get(attribute) for base in sections)), "")


@cache
def sentences(section: type[Section]) -> Mapping[str, str]:
    """Return the strings below the attributes of a class."""
    (tree,) = ast.parse(dedent(getsource(section))).body
    found, body = {}, tree.body if isinstance(tree, ast.ClassDef) else []
    for statement, following in pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


if __name__ == "__main__":
    main()
