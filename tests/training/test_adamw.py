"""The optimizer."""

from tests.support.params import ROOT
from tests.support.process import run_python

STEPS = """
import copy, sys, torch
from components.training.adamw import AdamW

def trained(kind, module, between):
    optimizer = kind(module.parameters(), lr=0.01, weight_decay=0.1, fused=True)
    for step in range(6):
        if step == 3:
            between(optimizer)
        optimizer.zero_grad()
        module(torch.ones(2, 3)).pow(2).sum().backward()
        optimizer.step()
    assert not any(p.grad_fn for p in module.parameters())
    return [p.tolist() for p in module.parameters()]

module = torch.nn.Linear(3, 3)
found = trained(AdamW, copy.deepcopy(module), lambda optimizer: None)
resumed = lambda optimizer: optimizer.load_state_dict(optimizer.state_dict())
assert found == trained(AdamW, copy.deepcopy(module), resumed)
assert "torch._dynamo" not in sys.modules
assert found == trained(torch.optim.AdamW, copy.deepcopy(module), lambda optimizer: None)
"""


def test_steps_are_those_of_torch_without_its_compiler():
    process = run_python("-c", STEPS, cwd=ROOT)
    assert process.returncode == 0, process.stderr
