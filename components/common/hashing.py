"""Names that follow from content."""

import hashlib
import json
from pathlib import Path
from typing import Any


def content_id(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal: the id of an asset."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(*parts: Any) -> str:
    """A short name (128 bits, hexadecimal) for JSON-able `parts`: equal parts, equal name."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return content_id(canonical.encode())[:32]


def file_hash(*paths: Path) -> str:
    """The fingerprint of the contents of `paths`, in the order given; of a folder, every file."""
    digests = []
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digests += [content_id(file.read_bytes()) for file in files]
    return fingerprint(digests)


def number_from(*parts: Any) -> int:
    """A stable 63-bit number for `parts`, the same on every machine: seeds, splits, choices."""
    return int(fingerprint(*parts)[:16], 16) >> 1
