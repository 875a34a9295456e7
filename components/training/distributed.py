"""Several processes train one model: each computes a part of every batch, and all make one step.

After each step weights, and buffers of real numbers, are the same in all of them, to the last bit.
Nothing here does anything in a run of one process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

from components.common.hashing import number_from

SECONDS_TO_BE_ENDED = 30.0  # by the launcher, after another process has failed


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is: 0, 1, …"""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this is the one that writes files and shows progress."""
    return rank() == 0


def meet() -> None:
    """Wait until all of them are here."""
    if count() > 1:
        with _failing_quietly():
            dist.barrier()


@contextmanager
def own_chance(device: torch.device, *origin: int | str) -> Iterator[None]:
    """What is drawn inside follows from `origin` and the process; what is drawn after it does not.

    Then processes drop other places of their parts, and draw alike what concerns the whole batch.
    """
    if count() == 1:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(number_from(*origin, rank()))
        yield


def add_up(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, which have tensors of the same shapes."""
    if count() == 1:
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
    for group in by_type.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        with _failing_quietly():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in group])
        for tensor, part in zip(group, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def merge(module: nn.Module, losses: dict[str, Tensor]) -> None:
    """Gradients and losses become their sums over all processes, buffers their means.

    A weight that no process used keeps no gradient: the optimiser leaves it alone, as it does in
    one process.
    """
    if count() == 1:
        return
    weights = [p for p in module.parameters() if p.requires_grad]
    used = torch.tensor([float(p.grad is not None) for p in weights], device=weights[0].device)
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    for buffer in buffers:
        buffer.div_(count())
    add_up([used, *(p.grad for p in weights), *losses.values(), *buffers])
    for weight, times in zip(weights, used.tolist(), strict=True):
        if not times:
            weight.grad = None


@contextmanager
def _failing_quietly() -> Iterator[None]:
    """Where another process has failed, let that be reported, and not that it is gone.

    The launcher ends this process when it sees the other's end.
    """
    try:
        yield
    except RuntimeError:
        time.sleep(SECONDS_TO_BE_ENDED)
        raise
