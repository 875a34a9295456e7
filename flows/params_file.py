"""Edits params.yaml: values change, comments stay."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from components.common.errors import InputError
from components.common.files import write_text
from components.stage.settings import load_yaml
from flows.settings import read_params

LONGEST = 2_000  # characters of a value


def edit(path: Path, values: Mapping[str, Any]) -> None:
    """Write values, by dotted key, into a file, unless a key or value raises InputError.

    Keys that the file left out are added to it.
    """
    changed = edited(path, values)
    if changed != path.read_text(encoding="utf-8"):
        write_text(path, changed)


def edited(path: Path, values: Mapping[str, Any]) -> str:
    """Return the content that the file would have, checked as a whole; raises as `edit` does."""
    from flows.check import check_text  # here, as it takes a second

    check_text(read_params(path), path)  # so that complaints below are about the new values
    file = _yaml()
    content = file.load(path.read_text(encoding="utf-8-sig"))
    for key, value in values.items():
        _set(content, key, value)
    stream = io.StringIO()
    file.dump(content, stream)
    check_text(stream.getvalue().encode(), path)
    return stream.getvalue()


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE`, the value as YAML; return dotted key → value.

    Raises InputError for other words, a key that is there twice, and values that are not YAML,
    that refer to themselves, which can stand for more than fits in memory, or that are long: deeply
    nested ones would take minutes to parse.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not (key and equals):
            raise InputError(f"{word}: expected KEY=VALUE, as train.epochs=3")
        if key in values:
            raise InputError(f"{word}: {key} is set twice. Keep one of them")
        values[key] = _parse(key, value)
    return values


def _parse(key: str, value: str) -> Any:
    if len(value) > LONGEST:
        raise InputError(
            f"{key}: the value has {len(value):,} characters, expected at most {LONGEST:,}. Edit "
            "params.yaml by hand"
        )
    parsed = load_yaml(value, f"{key}: the value")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(value, yaml.SafeLoader)):
        raise InputError(f"{key}: the value refers to a part of itself. Spell it out")
    return parsed


class _Representer(RoundTripRepresenter):
    """Of this module alone: DVC writes dvc.lock with that of ruamel."""


_Representer.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _yaml() -> YAML:
    file = YAML()
    file.Representer = _Representer
    file.preserve_quotes = True
    file.width = 2**20
    file.indent(mapping=2, sequence=4, offset=2)
    return file


def _set(content: Any, key: str, value: Any) -> None:
    parts = key.split(".")
    section = content
    for depth, part in enumerate(parts):
        if not isinstance(section, dict):
            raise InputError(f"{key}: {parts[depth - 1]} has no keys. Set it as a whole")
        if depth < len(parts) - 1:
            if isinstance(section.get(part), str):  # a kind without options
                section[part] = _flow_style({"kind": section[part]})
            section = section.setdefault(part, CommentedMap())
    section[parts[-1]] = _flow_style(value)


def _flow_style(value: Any) -> Any:
    """Return a value whose lists and mappings are written on one line."""
    if isinstance(value, Mapping):
        styled = CommentedMap({key: _flow_style(inner) for key, inner in value.items()})
    elif isinstance(value, list):
        styled = CommentedSeq(map(_flow_style, value))
    else:
        return value
    styled.fa.set_flow_style()
    return styled
