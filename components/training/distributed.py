"""Training in several processes: each computes a part of every batch, and all make one step.

After each step the weights and floating-point buffers are equal in all processes, to the last bit.
In a run of one process these functions do nothing.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

from components.common.hashing import number_from

SECONDS_TO_BE_ENDED = 30.0  # by the launcher, after another process has failed


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process: 0, 1, …"""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Return whether this process writes files and shows progress."""
    return rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        with _failing_quietly():
            dist.barrier()


@contextmanager
def per_rank_generator(device: torch.device, *key: int | str) -> Iterator[None]:
    """Seed the generators from `key` and the rank for the body, and restore them afterwards.

    Dropout then differs between processes, and what concerns the whole batch is drawn alike.
    """
    if world_size() == 1:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(number_from(*key, rank()))
        yield


def all_reduce(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes."""
    if world_size() == 1:
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


def sync_gradients(module: nn.Module, losses: dict[str, Tensor]) -> None:
    """Replace gradients and losses by their sums over all processes, buffers by their means.

    A weight that no process used keeps no gradient, so the optimizer skips it as in one process.
    """
    if world_size() == 1:
        return
    weights = [p for p in module.parameters() if p.requires_grad]
    used = torch.tensor([float(p.grad is not None) for p in weights], device=weights[0].device)
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    for buffer in buffers:
        buffer.div_(world_size())
    gradients = [p.grad for p in weights if p.grad is not None]
    all_reduce([used, *gradients, *losses.values(), *buffers])
    for weight, processes in zip(weights, used.tolist(), strict=True):
        if not processes:
            weight.grad = None


@contextmanager
def _failing_quietly() -> Iterator[None]:
    """Leave it to a process that failed to report why, rather than reporting that it is gone.

    The launcher ends this process when it sees the end of the other.
    """
    try:
        yield
    except RuntimeError:
        time.sleep(SECONDS_TO_BE_ENDED)
        raise
