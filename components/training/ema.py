"""Exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """After each step: decay · average + (1 − decay) · weights (Tarvainen & Valpola 2017).

    Trainable weights are averaged, and floating-point buffers too: batch normalisation needs the
    statistics that belong to the averaged weights. With decay 0 the average is the weights
    themselves, and nothing is computed.
    """

    def __init__(self, module: nn.Module, decay: float):
        self._current: list[Tensor] = []
        if decay:
            self._current += [p for p in module.parameters() if p.requires_grad]
            self._current += filter(Tensor.is_floating_point, module.buffers())
        self._average = [value.detach().clone() for value in self._current]
        self._update = get_ema_multi_avg_fn(decay)

    def update(self) -> None:
        """Update the average after a step."""
        if self._current:
            self._update(self._average, self._current, None)

    def swap(self) -> None:
        """Exchange the weights of the module and the average."""
        for one, other in zip(self._average, self._current, strict=True):
            one.data, other.data = other.data, one.data

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the module the averaged weights for the duration of the body."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {str(number): value for number, value in enumerate(self._average)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        for number, value in enumerate(self._average):
            value.copy_(state[str(number)])
