"""Checkpoints on disk."""

import pytest
import torch
from torch import nn

from components.common.errors import InputError
from components.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer

GROUPS = {
    "weights": {"layer.0.weight": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)},
    "random": {"cpu": torch.arange(4, dtype=torch.uint8)},
}


@pytest.fixture
def checkpoint(tmp_path) -> Checkpoint:
    return Checkpoint(tmp_path / "c", "a")


def test_loaded_equals_saved(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save(GROUPS, {"epoch": 3, "history": [[0, "loss", "é", 0.1]]})
    groups, state = checkpoint.load()
    assert state == {"epoch": 3, "history": [[0, "loss", "é", 0.1]]}
    assert {group: set(tensors) for group, tensors in groups.items()} == {
        group: set(tensors) for group, tensors in GROUPS.items()
    }
    for group, tensors in GROUPS.items():
        for name, value in tensors.items():
            assert groups[group][name].equal(value) and groups[group][name].dtype == value.dtype


def test_other_fingerprint_is_ignored(checkpoint):
    checkpoint.save(GROUPS, {})
    assert Checkpoint(checkpoint.path, "b").load() is None


def test_damaged_file_is_named(checkpoint):
    checkpoint.path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="c is not safetensors: .*Delete it and run: dvc repro"):
        checkpoint.load()


def test_is_due_after_an_interval(checkpoint, monkeypatch):
    assert not checkpoint.is_due
    monkeypatch.setattr("components.training.checkpoint.MIN_INTERVAL", -1e9)
    assert Checkpoint(checkpoint.path, "a").is_due


def test_optimizer_continues_from_its_tensors():
    nets = [nn.Linear(3, 2) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    first, second = (torch.optim.AdamW(net.parameters(), lr=0.1) for net in nets)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        optimizer.zero_grad()
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        net(x).square().sum().backward()
        optimizer.step()

    step(nets[0], first, 0)
    nets[1].load_state_dict(nets[0].state_dict())
    restore_optimizer(second, {name: v.clone() for name, v in optimizer_tensors(first).items()})
    for net, optimizer in zip(nets, (first, second), strict=True):
        step(net, optimizer, 1)
    assert nets[0].weight.equal(nets[1].weight) and nets[0].bias.equal(nets[1].bias)
