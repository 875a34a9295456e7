"""A dictionary of modules with keys that users choose."""

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from components.layers.named_modules import NamedModules
from components.tasks.registry import Tasks


def test_every_task_name_can_be_a_key():
    settings = TypeAdapter(Tasks)

    def is_task_name(name: str) -> bool:
        try:
            settings.validate_python({name: {"column": "answer"}})
        except ValidationError:
            return False
        return True

    names = [n for n in dir(nn.ModuleDict({"answer": nn.Linear(1, 1)})) if is_task_name(n)]
    assert {"type", "values", "keys", "pop", "training", "forward", "answer"} <= set(names)
    heads, others = (
        NamedModules({name: nn.Linear(2, size) for size, name in enumerate(names, start=1)})
        for _ in range(2)
    )
    heads.train().eval().requires_grad_(False)
    assert heads.training is False
    assert list(heads.keys()) == names and "type.weight" in heads.state_dict()
    others.load_state_dict(heads.state_dict())
    x = torch.ones(1, 2)
    assert all(heads[name](x).equal(others[name](x)) for name in names)
    assert not any(head.training for head in heads.values())


def test_weights_are_named_as_in_a_module_dict():
    layers = {"answer": nn.Linear(2, 3), "shape": nn.Linear(2, 2)}
    assert list(NamedModules(layers).state_dict()) == list(nn.ModuleDict(layers).state_dict())
