"""Hashes of content."""

import hashlib
import json
from pathlib import Path
from typing import Any


def content_id(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal, which is the id of an asset."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON-able parts: 128 bits in hexadecimal."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return content_id(canonical.encode())[:32]


def file_hash(*paths: Path) -> str:
    """Return the fingerprint of the contents of files, in the order given; of a folder, of all."""
    digests = []
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digests += [content_id(file.read_bytes()) for file in files]
    return fingerprint(digests)


def number_from(*parts: Any) -> int:
    """Return a 63-bit number for parts, equal on every machine: for seeds, splits, choices."""
    return int(fingerprint(*parts)[:16], 16) >> 1
