"""Fixtures of the tests of text generation."""

import pytest
import torch


@pytest.fixture
def no_grad():
    """Compute no gradients."""
    with torch.no_grad():
        yield
