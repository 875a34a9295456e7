"""Names of what MLflow holds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def flatten(value: Any, separator: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as names such as `train.batch`; lists as one value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{prefix}{separator}{key}" if prefix else str(key)
            yield from flatten(inner, separator, name)
    else:
        yield prefix, value if not isinstance(value, list) else json.dumps(value)


def metric_name(*parts: str) -> str:
    """A name that MLflow accepts: `accuracy/answer/image_text`, `recall_at_1/text_to_audio`."""
    spelt = (part.replace("+", "_").replace("→", "_to_").replace("–", "_") for part in parts)
    kept = ("".join(c for c in part if c.isalnum() or c in "_-. ") for part in spelt)
    return "/".join(part if part.strip(".") else "_" for part in kept)  # "" and ".." are no names
