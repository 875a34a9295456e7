"""The moving average of the weights, which is often better than the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """After each step: decay · average + (1 − decay) · weights (Tarvainen & Valpola 2017).

    Of the weights that learn, and of buffers of real numbers too: batch normalisation needs the
    statistics that belong to the averaged weights.
    """

    def __init__(self, module: nn.Module, decay: float):
        learnt = [p for p in module.parameters() if p.requires_grad]
        self._current: list[Tensor] = [*learnt, *filter(Tensor.is_floating_point, module.buffers())]
        self._average = [value.detach().clone() for value in self._current]
        self._update = get_ema_multi_avg_fn(decay)

    def update(self) -> None:
        """After a step."""
        self._update(self._average, self._current, None)

    def exchange(self) -> None:
        """The average goes into the module, and what was there takes its place."""
        for one, other in zip(self._average, self._current, strict=True):
            one.data, other.data = other.data, one.data

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """For a while the module has the average."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs."""
        return {str(number): value for number, value in enumerate(self._average)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        for number, value in enumerate(self._average):
            value.copy_(state[str(number)])
