"""Other values in params.yaml: every other byte of the file stays, its comments too."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError, nearest
from components.common.files import write_text
from components.config.load import check_settings


def override(path: Path, settings: Mapping[str, Any]) -> None:
    """Write other values into a parameter file.

    Args:
        path: the file.
        settings: dotted key → value.

    Raises:
        InputError: there is no such key, or the value is impossible; the file is as it was.
    """
    changed = overridden(path, settings)
    if changed != path.read_text(encoding="utf-8"):
        write_text(path, changed)


def overridden(path: Path, settings: Mapping[str, Any]) -> str:
    """What the file holds then, checked as a whole; raises as `override` does."""
    try:
        text = path.read_text(encoding="utf-8")
        check_settings(text.encode(), path)  # so that what is wrong below is the new values
        for key, value in settings.items():
            text = _replaced(text, key, value)
        check_settings(text.encode(), path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing, so that no setting can be changed") from error
    return text


def parsed(words: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` of the command line, the value as YAML, as dotted key → value.

    Raises:
        InputError: it has another form.
    """
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise InputError(f"--set {word}: expected KEY=VALUE, as train.epochs=3")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {word}: the value is not YAML: {error}") from error
    return settings


def _replaced(text: str, key: str, value: Any) -> str:
    """The text with another value at a dotted key, on one line."""
    name, node = _find(text, key)
    start = text.index(":", name.end_mark.index) + 1
    if _is_block(node):  # its lines go; what is said beside the name stays
        first, last = text.rindex("\n", 0, node.start_mark.index), _last(node)
        text, end = text[:first] + re.sub(r"^.*", "", text[last:], count=1), start
    else:
        end = node.end_mark.index
    written = " " + yaml.safe_dump(
        [value], default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    ).strip()[1:-1]  # fmt: skip
    before, after = text[:start] + written, text[end:]
    if comment := re.match(r" *#", after):  # it stays in its column
        room = _column(text, end + comment.end() - 1) - _column(before, len(before))
        after = " " * max(room, 1) + after[comment.end() - 1 :]
    return before + after


def _find(text: str, key: str) -> tuple[yaml.Node, yaml.Node]:
    """The nodes of a key's last part and of its value."""
    name, node = None, yaml.compose(text, yaml.SafeLoader)
    for part in key.split("."):
        rows = node.value if isinstance(node, yaml.MappingNode) else []
        known = {name.value: (name, node) for name, node in rows}
        if part not in known:
            where = "" if known else f" {name.value} has no keys of its own."
            hint = nearest(part, list(known)) if known else "Set it as a whole"
            raise InputError(f"--set {key}: there is no key {part!r}.{where} {hint}")
        name, node = known[part]
    return name, node


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _last(node: yaml.Node) -> int:
    """Where the last thing in a node ends; what is said below it belongs to what follows."""
    while _is_block(node):
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.index


def _column(text: str, index: int) -> int:
    return index - text.rfind("\n", 0, index) - 1
