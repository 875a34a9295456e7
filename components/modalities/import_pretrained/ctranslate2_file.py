"""Reads the variables in a model file of CTranslate2.

The format is little-endian: a version, the name and the revision of a specification, a number of
variables, and for each its name, rank, dimensions, type, size in bytes and values. Names that
stand for other variables follow. Texts are their length with a zero at the end, then both.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.common.errors import InputError

VERSION = 6  # of the format
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # bfloat16, 5, is not one of NumPy's


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file."""

    specification: str
    variables: Mapping[str, np.ndarray]


def read_model_file(path: Path) -> ModelFile:
    """Read a model file; InputError if it is not one, of another version, or damaged."""
    with open(path, "rb") as file:
        try:
            (version,) = _numbers(file, "I")
            if version != VERSION:
                raise InputError(f"found the version {version} of the format, expected {VERSION}")
            specification = _text(file)
            _, count = _numbers(file, "II")
            variables = dict(_variable(file) for _ in range(count))
            aliases = [(_text(file), _text(file)) for _ in range(*_numbers(file, "I"))]
            if rest := file.read():
                raise InputError(f"{len(rest)} bytes follow its end")
            if lost := [name for _, name in aliases if name not in variables]:
                raise InputError(f"it has no {lost[0]}, for which another name stands")
            variables |= {alias: variables[name] for alias, name in aliases}
        except (InputError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path} cannot be read as a model of CTranslate2: {error}. Install its package "
                "again"
            ) from error
    return ModelFile(specification, variables)


def _variable(file: BinaryIO) -> tuple[str, np.ndarray]:
    name = _text(file)
    shape = _numbers(file, "I" * _numbers(file, "B")[0])
    kind, size = _numbers(file, "BI")
    if kind not in TYPES:
        raise InputError(f"{name} has the type {kind}, expected one of {[*TYPES]}")
    form = np.dtype(TYPES[kind])
    if size != math.prod(shape) * form.itemsize:
        raise InputError(f"{name} has {size} bytes, which do not fit its shape {list(shape)}")
    return name, np.frombuffer(_bytes(file, size), form).reshape(shape)


def _numbers(file: BinaryIO, form: str) -> tuple[int, ...]:
    """Return numbers as `struct` describes them, without padding between them."""
    return struct.unpack(f"<{form}", _bytes(file, struct.calcsize(f"<{form}")))


def _text(file: BinaryIO) -> str:
    return _bytes(file, *_numbers(file, "H"))[:-1].decode()


def _bytes(file: BinaryIO, size: int) -> bytearray:
    content = bytearray(file.read(size))  # which tensors may be views of
    if len(content) < size:
        raise InputError(f"it ends {size - len(content)} bytes too early")
    return content
