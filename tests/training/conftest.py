"""Fixtures of the tests of training."""

import pytest

from components.training import checkpoint


@pytest.fixture
def save_every_step(monkeypatch):
    """Write a checkpoint after every step."""
    monkeypatch.setattr(checkpoint, "MIN_INTERVAL", -1e9)
