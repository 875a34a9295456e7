"""Writes model files in CTranslate2's binary format."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

TYPES = ("float32", "int8", "int16", "int32", "float16")  # in the order of their numbers


def write_model_file(
    path: Path,
    variables: Mapping[str, np.ndarray],
    specification: str = "WhisperSpec",
    aliases: Mapping[str, str] | None = None,
    version: int = 6,
) -> Path:
    """Write variables, and names that stand for some of them; return the path."""
    content = struct.pack("<I", version) + _text(specification)
    content += struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        content += _text(name) + struct.pack("<B", value.ndim)
        content += b"".join(struct.pack("<I", size) for size in value.shape)
        content += struct.pack("<BI", TYPES.index(value.dtype.name), value.nbytes) + value.tobytes()
    content += struct.pack("<I", len(aliases or {}))
    content += b"".join(_text(alias) + _text(name) for alias, name in (aliases or {}).items())
    path.write_bytes(content)
    return path


def _text(text: str) -> bytes:
    content = text.encode() + b"\0"
    return struct.pack("<H", len(content)) + content
