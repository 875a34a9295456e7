"""Tensor files written row by row have the bytes that safetensors writes."""

import numpy as np
import pytest
from safetensors.numpy import save

from components.preprocess.convert import save_rows


@pytest.mark.parametrize("shape", [(1, 1), (7, 3, 16, 16), (100, 3, 8, 8), (1000, 5)])
def test_bytes_are_those_of_safetensors(tmp_path, shape):
    tensor = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    save_rows(tmp_path / "file", "pixels", shape, iter(tensor))
    assert (tmp_path / "file").read_bytes() == save({"pixels": tensor})


def test_rows_may_be_strided(tmp_path):
    tensor = np.random.default_rng(0).integers(0, 256, (5, 8, 4, 3), dtype=np.uint8)
    turned = tensor.transpose(0, 3, 1, 2)
    save_rows(tmp_path / "file", "pixels", turned.shape, turned)
    assert (tmp_path / "file").read_bytes() == save({"pixels": np.ascontiguousarray(turned)})
