"""A dictionary of modules whose keys users choose."""

from torch import nn


class NamedModules(nn.ModuleDict):
    """A `ModuleDict` with any keys; `type`, `values` and `train` are names of tasks too."""

    def add_module(self, name: str, module: nn.Module) -> None:
        """Add a module; `ModuleDict` refuses the names of its own attributes."""
        self._modules[name] = module
