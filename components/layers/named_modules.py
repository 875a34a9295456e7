"""A dictionary of modules whose keys users choose."""

from typing import Any

from torch import nn


class NamedModules(nn.ModuleDict):
    """A `ModuleDict` with any keys; `type`, `values` and `training` are names of tasks too."""

    def add_module(self, name: str, module: nn.Module) -> None:
        """Add a module; `ModuleDict` refuses the names of its own attributes."""
        self._modules[name] = module

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of its own; `Module` refuses the names of its children."""
        object.__setattr__(self, name, value)
