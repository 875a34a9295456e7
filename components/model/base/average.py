"""The moving average of the weights, which is often better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of a module to be updated after each step: decay · copy + (1 − decay) · module.

    Polyak & Juditsky 1992, exponentially weighted as in Tarvainen & Valpola 2017. Buffers are
    averaged too: batch normalisation needs the statistics that belong to the averaged weights.
    """
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def exchange(average: AveragedModel, module: nn.Module) -> None:
    """The averaged weights and buffers go into the module, and the module's into the average."""
    for one, other in zip(_tensors(average.module), _tensors(module), strict=True):
        one.data, other.data = other.data, one.data


@contextmanager
def standing_in(average: AveragedModel, module: nn.Module) -> Iterator[None]:
    """For a while the module has the averaged weights and buffers."""
    exchange(average, module)
    try:
        yield
    finally:
        exchange(average, module)


def _tensors(module: nn.Module) -> chain:
    return chain(module.parameters(), module.buffers())
