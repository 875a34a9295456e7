"""Where an interrupted run resumes: everything that decides how it goes on, in one file."""

import json
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import components
from components.common.files import replacing
from components.common.hashing import file_hash, fingerprint
from components.config.command import Stage, View

SECONDS_BETWEEN = 10.0  # two checkpoints, after any step; it changes no bytes …
PATIENCE = 50.0  # … and so many times as long as writing one takes: it costs 2 % at most

Groups = dict[str, dict[str, Tensor]]  # tensors by name, by what they are: a dot ends the latter


@dataclass
class Checkpoint:
    """Where a training run leaves its state, and what the state must have come from.

    Attributes:
        path: one safetensors file; gone when the run is complete.
        origin: fingerprint of everything that decides the run; a file of another origin is
            ignored.
    """

    path: Path
    origin: str
    _next: float = field(init=False)

    def __post_init__(self):
        self._next = time.monotonic() + SECONDS_BETWEEN

    @classmethod
    def of(cls, arguments: Namespace, settings: View, stage: Stage) -> "Checkpoint":
        """The checkpoint of a stage: it comes from the stage's inputs, settings and all code."""
        inputs = [getattr(arguments, name.replace("-", "_")) for name in stage.inputs]
        code = Path(components.__path__[0])
        sources = sorted(code.rglob("*.py"))
        return cls(arguments.checkpoint, fingerprint(file_hash(*inputs, *sources), settings.dump()))

    @property
    def due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() > self._next

    def save(self, groups: Groups, state: Mapping) -> None:
        """Write tensors and `state` (JSON), whole or not at all."""
        started = time.monotonic()
        tensors = {
            f"{group}.{name}": value.contiguous()
            for group, values in groups.items()
            for name, value in values.items()
        }
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, {"state": json.dumps({**state, "origin": self.origin})})
        now = time.monotonic()
        self._next = now + SECONDS_BETWEEN + PATIENCE * (now - started)

    def load(self) -> tuple[Groups, dict] | None:
        """What `save` was given; None if there is nothing of this origin."""
        if not self.path.exists():
            return None
        with safe_open(self.path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            if state.pop("origin") != self.origin:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        groups: Groups = {}
        for name, value in tensors.items():
            group, rest = name.split(".", 1)
            groups.setdefault(group, {})[rest] = value
        return groups, state

    def clear(self) -> None:
        """Remove the file; the run is complete."""
        self.path.unlink(missing_ok=True)


def moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of each weight, by the weight's number and its own name."""
    state = optimiser.state_dict()["state"]
    return {f"{n}.{name}": value for n, values in state.items() for name, value in values.items()}


def remember(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `moments`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
