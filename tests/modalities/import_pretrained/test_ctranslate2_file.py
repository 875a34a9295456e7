"""Model files of CTranslate2 give the variables that are in them, or are refused."""

import struct
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import InputError
from components.modalities.import_pretrained.ctranslate2_file import read_model_file
from tests.support.ctranslate2_writer import TYPES, write_model_file

VARIABLES = {
    **{kind: np.arange(6).reshape(2, 3).astype(kind) for kind in TYPES},
    "scalar": np.array(6, np.int16),
    "none": np.zeros((0, 4), np.float16),
}


@pytest.fixture
def path(tmp_path) -> Path:
    return write_model_file(tmp_path / "model.bin", VARIABLES, aliases={"é": "float16"})


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=rf"model.bin cannot be read as .*: {message}.*again"):
        read_model_file(path)


def test_variables_and_aliases_are_read(path):
    found = read_model_file(path)
    assert found.specification == "WhisperSpec"
    assert list(found.variables) == [*VARIABLES, "é"]
    for name, value in (VARIABLES | {"é": VARIABLES["float16"]}).items():
        np.testing.assert_array_equal(found.variables[name], value, strict=True)


def test_other_version_is_refused(tmp_path):
    path = write_model_file(tmp_path / "model.bin", VARIABLES, version=7)
    refused(path, "found the version 7 of the format, expected 6")


def test_file_that_ends_early_is_refused_wherever_it_ends(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refused(path, r"it ends \d+ bytes too early")


def test_bytes_after_the_end_are_refused(path):
    path.write_bytes(path.read_bytes() + b"123")
    refused(path, "3 bytes follow its end")


def test_unknown_type_is_refused(path):
    before = b"int8\0\2" + struct.pack("<II", 2, 3)
    content = path.read_bytes()
    assert content.count(before + b"\1") == 1
    path.write_bytes(content.replace(before + b"\1", before + b"\5"))
    refused(path, r"int8 has the type 5, expected one of \[0, 1, 2, 3, 4\]")


def test_size_that_does_not_fit_the_shape_is_refused(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<BI", 2, 12), struct.pack("<BI", 2, 14), 1))
    refused(path, r"int16 has 14 bytes, which do not fit its shape \[2, 3\]")


def test_alias_of_nothing_is_refused(tmp_path):
    path = write_model_file(tmp_path / "model.bin", VARIABLES, aliases={"a": "no_such"})
    refused(path, "it has no no_such, for which another name stands")
