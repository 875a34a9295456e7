"""The optimizer."""

import copy
from collections.abc import Callable

import pytest
import torch

from components.training.adamw import AdamW
from tests.support.params import ROOT
from tests.support.process import run_python

STEPS = """
import sys, torch
from components.training.adamw import AdamW

module = torch.nn.Linear(3, 3)
optimizer = AdamW(module.parameters(), lr=0.01, weight_decay=0.1, fused=True)
optimizer.zero_grad()
module(torch.ones(2, 3)).pow(2).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
optimizer.step()
assert "torch._dynamo" not in sys.modules
"""


def trained(kind: Callable, module: torch.nn.Module, between=lambda optimizer: None) -> list:
    """Return the parameters after six steps; `between` changes the optimizer after three."""
    module = copy.deepcopy(module)
    optimizer = kind(module.parameters(), lr=0.01, weight_decay=0.1, fused=True)
    for step in range(6):
        if step == 3:
            between(optimizer)
        optimizer.zero_grad()
        module(torch.ones(2, 3)).pow(2).sum().backward()
        optimizer.step()
    assert not any(p.grad_fn for p in module.parameters())
    return [p.tolist() for p in module.parameters()]


def test_steps_are_those_of_torch():
    module = torch.nn.Linear(3, 3)
    found = trained(AdamW, module)
    assert found == trained(torch.optim.AdamW, module)
    assert found == trained(AdamW, module, lambda o: o.load_state_dict(o.state_dict()))


@pytest.mark.slow  # imports torch in a process of its own
def test_steps_need_no_compiler():
    """It takes a second to import."""
    process = run_python("-c", STEPS, cwd=ROOT)
    assert process.returncode == 0, process.stderr
