"""A head for a task of any name."""

import torch
from pydantic import ValidationError
from torch import nn

from components.layers.heads import Heads
from tests.shrunk import shipped, small_settings


def accepted(name: str) -> bool:
    """Whether params.yaml may have a task of this name."""
    try:
        small_settings({"tasks": {name: shipped()["tasks"]["answer"]}})
    except ValidationError:
        return False
    return True


def test_every_name_that_settings_accept_can_be_a_head():
    names = [name for name in dir(nn.ModuleDict({"answer": nn.Linear(1, 1)})) if accepted(name)]
    assert {"type", "values", "keys", "pop", "train", "forward", "answer"} <= set(names)
    heads, others = (
        Heads({name: nn.Linear(2, size) for size, name in enumerate(names, start=1)})
        for _ in range(2)
    )
    heads.train().eval().requires_grad_(False)
    assert list(heads.keys()) == names and "type.weight" in heads.state_dict()
    others.load_state_dict(heads.state_dict())
    x = torch.ones(1, 2)
    assert all(heads[name](x).equal(others[name](x)) for name in names)
    assert not any(head.training for head in heads.values())


def test_weights_have_the_names_that_a_module_dict_gives_them():
    layers = {"answer": nn.Linear(2, 3), "shape": nn.Linear(2, 2)}
    assert list(Heads(layers).state_dict()) == list(nn.ModuleDict(layers).state_dict())
