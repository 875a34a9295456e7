"""Tensor files that are written row by row."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def save_rows(path: Path, name: str, shape: tuple[int, ...], rows: Iterable[np.ndarray]) -> None:
    """Write one uint8 tensor as safetensors: the bytes that `safetensors.numpy.save_file` writes.

    One row is in memory at a time, in little memory that is used again and again: a large array
    made anew for each file would take longer to get from the system than to fill.

    Args:
        path: the file.
        name: the tensor's.
        shape: the tensor's.
        rows: `shape[0]` arrays of the shape `shape[1:]`.
    """
    size = int(np.prod(shape))
    tensor = {"dtype": "U8", "shape": shape, "data_offsets": (0, size)}
    header = json.dumps({name: tensor}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that the numbers are aligned
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for row in rows:
            file.write(np.ascontiguousarray(row))
