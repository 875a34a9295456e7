"""Nested mappings."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def flatten(value: Any, separator: str = ".") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings with names such as `train.batch_size`.

    A list is one leaf, as JSON.
    """
    for path, leaf in paths(value):
        yield separator.join(path), json.dumps(leaf) if isinstance(leaf, list) else leaf


def paths(value: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the leaves of nested mappings with the keys on the way, those `above` first."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from paths(inner, *above, str(key))
    else:
        yield above, value


def merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one; where they differ in anything but a mapping, `right` decides."""
    both = dict(left)
    for key, value in right.items():
        if isinstance(inner := both.get(key), Mapping) and isinstance(value, Mapping):
            value = merged(inner, value)
        both[key] = value
    return both
