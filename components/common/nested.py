"""Nested mappings."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def flatten(value: Any, separator: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings with names such as `train.batch_size`.

    A list is one leaf, as JSON.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{prefix}{separator}{key}" if prefix else str(key)
            yield from flatten(inner, separator, name)
    else:
        yield prefix, json.dumps(value) if isinstance(value, list) else value


def merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one; where they differ in anything but a mapping, `right` decides."""
    both = dict(left)
    for key, value in right.items():
        if isinstance(inner := both.get(key), Mapping) and isinstance(value, Mapping):
            value = merged(inner, value)
        both[key] = value
    return both
