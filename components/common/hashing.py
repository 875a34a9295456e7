"""Hashes of content."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_id(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal, which is the id of an asset."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON-able parts: 128 bits in hexadecimal."""
    return content_id(ENCODER.encode(parts).encode())[:32]


def file_hash(*paths: Path) -> str:
    """Return the fingerprint of the contents of files, in the order given; of a folder, of all."""
    digests = []
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digests += [content_id(file.read_bytes()) for file in files]
    return fingerprint(digests)


@lru_cache(maxsize=512, typed=True)  # rows that share a file stand together
def number_from(*parts: Any) -> int:
    """Return a 63-bit number for parts, equal on every machine: for seeds, splits, choices."""
    return int(fingerprint(*parts)[:16], 16) >> 1
