"""Modules by name, whatever the names."""

from torch import nn


class Heads(nn.ModuleDict):
    """A head a task. The user names the tasks: `type`, `values` and `train` are names too."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Take a module under any name; `ModuleDict` refuses those of its own attributes."""
        self._modules[name] = module
