"""Checkpoints: everything that decides how an interrupted run continues, in one file."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from components.common.files import replacing
from components.common.tensor_files import readable_tensors

MIN_INTERVAL = 10.0  # seconds between checkpoints, after any step; it changes no bytes …
COST_FACTOR = 50.0  # … and at least this many times as long as writing one takes: 2 % of the time

Groups = dict[str, dict[str, Tensor]]  # tensors by name, by group; a dot ends the group's name


class Checkpoint:
    """The checkpoint of a training run, a safetensors file; whoever completes the run removes it.

    A file with another fingerprint, which is of everything that decides the run, is ignored.
    """

    def __init__(self, path: Path, fingerprint: str):
        self.path, self.fingerprint = path, fingerprint
        self._next = time.monotonic() + MIN_INTERVAL

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough."""
        return time.monotonic() > self._next

    def save(self, groups: Mapping[str, Mapping[str, Tensor]], state: Mapping) -> None:
        """Write tensors and `state`, which is JSON, whole or not at all."""
        started = time.monotonic()
        tensors = {
            f"{group}.{name}": value.contiguous()
            for group, values in groups.items()
            for name, value in values.items()
        }
        header = {"state": json.dumps({**state, "fingerprint": self.fingerprint})}
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, header)
        now = time.monotonic()
        self._next = now + MIN_INTERVAL + COST_FACTOR * (now - started)

    def load(self) -> tuple[Groups, dict] | None:
        """Return what `save` wrote; None if there is no checkpoint of this run.

        Raise `InputError` if the file is damaged.
        """
        if not self.path.exists():
            return None
        groups: Groups = {}
        with readable_tensors(self.path), safe_open(self.path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            if state.pop("fingerprint", None) != self.fingerprint:
                return None
            for name in file.keys():
                group, rest = name.split(".", 1)
                groups.setdefault(group, {})[rest] = file.get_tensor(name)
        return groups, state


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer by the number of the parameter and the name of the value."""
    state = optimizer.state_dict()["state"]
    return {f"{n}.{name}": value for n, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
