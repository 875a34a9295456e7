"""Products of matrices are those of OpenBLAS."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch.nn import functional as F

from components.training.matrix_products import use_openblas


@pytest.fixture(autouse=True)
def openblas():
    use_openblas(1)


def test_products_are_those_of_numpy():
    x, y = torch.randn(37, 300), torch.randn(300, 21)
    expected = torch.tensor(np.dot(x.numpy(), y.numpy()))
    assert (x @ y).equal(expected)
    assert torch.addmm(torch.ones(21), x, y).equal(expected + 1)


def test_layer_and_its_gradients_are_right_in_every_layout():
    layer, x = torch.nn.Linear(48, 20), torch.randn(48, 30, requires_grad=True)
    layer(x.T).square().sum().backward()
    values = [x, *layer.parameters()]
    exact = [value.detach().double().requires_grad_() for value in values]
    F.linear(exact[0].T, *exact[1:]).square().sum().backward()
    for value, other in zip(values, exact, strict=True):
        torch.testing.assert_close(value.grad, other.grad, check_dtype=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_other_types_are_left_to_torch(dtype):
    x, y = torch.arange(6).view(2, 3).to(dtype), torch.arange(12).view(3, 4).to(dtype)
    expected = torch.tensor([[20, 23, 26, 29], [56, 68, 80, 92]]).to(dtype)
    assert (x @ y).equal(expected)
    assert torch.addmm(torch.ones(4, dtype=dtype), x, y).equal(expected + 1)


def test_sums_of_scaled_products_are_left_to_torch():
    c, x, y = torch.ones(2, 2), torch.ones(2, 3), torch.ones(3, 2)
    assert torch.addmm(c, x, y, beta=2, alpha=3).equal(torch.full((2, 2), 11.0))


def test_products_without_rows_or_columns():
    assert (torch.ones(0, 4) @ torch.ones(4, 3)).shape == (0, 3)
    assert (torch.ones(2, 0) @ torch.ones(0, 3)).equal(torch.zeros(2, 3))


@pytest.mark.filterwarnings("error")
def test_overflow_is_no_warning():
    x = torch.full((2, 2), 1e30)
    assert (x @ x).isinf().all()


def test_threads_are_those_of_the_settings():
    use_openblas(2)
    assert {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"} == {2}
