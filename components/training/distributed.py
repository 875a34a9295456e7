"""Training in several processes: each computes a part of every batch, and all make one step.

After each step the weights and floating-point buffers are equal in all processes, to the last bit.
In a run of one process these functions do nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from components.common.hashing import number_from
from components.training.determinism import random_states, set_random_states

ResultT = TypeVar("ResultT")


class PeerLost(RuntimeError):
    """Another process has ended, which knows why."""


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
        with _peers():
            dist.barrier()


def from_main_process(make: Callable[[], ResultT]) -> ResultT:
    """Return, in all processes, what `make` returns in the main one; only there is it called."""
    if world_size() == 1:
        return make()
    result = [make() if is_main_process() else None]
    with _peers():
        dist.broadcast_object_list(result)
    return result[0]  # pyright: ignore[reportReturnType]


@contextmanager
def per_rank_generator(device: torch.device, *key: int | str) -> Iterator[None]:
    """Seed the generators from `key` and the rank for the body, and restore them afterwards.

    Dropout then differs between processes, and what concerns the whole batch is drawn alike.
    """
    if world_size() == 1:
        yield
        return
    states, seed = random_states(device), number_from(*key, rank())
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than a short step
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    yield
    set_random_states(states, device)


def all_reduce(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes."""
    if world_size() == 1:
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.dtype, []).append(tensor)
    for group in by_type.values():
        flat = _flatten_dense_tensors(group)
        with _peers():
            dist.all_reduce(flat)
        for tensor, total in zip(group, _unflatten_dense_tensors(flat, group), strict=True):
            tensor.copy_(total)


class GradientSync:
    """Adds up, over all processes, the gradients that each has of its part of a batch."""

    def __init__(self, module: nn.Module):
        self._weights = [p for p in module.parameters() if p.requires_grad]
        self._buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]

    def __call__(self, losses: dict[str, Tensor]) -> None:
        """Replace gradients and losses by their sums over all processes, buffers by their means.

        A weight that no process used keeps no gradient, so the optimizer skips it as in one
        process.
        """
        if world_size() == 1:
            return
        weights, buffers = self._weights, self._buffers
        used = torch.tensor([float(p.grad is not None) for p in weights], device=weights[0].device)
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        for buffer in buffers:
            buffer.div_(world_size())
        gradients = [p.grad for p in weights if p.grad is not None]
        all_reduce([used, *gradients, *losses.values(), *buffers])
        for weight, processes in zip(weights, used.tolist(), strict=True):
            if not processes:
                weight.grad = None


@contextmanager
def _peers() -> Iterator[None]:
    """Tell the loss of another process from what fails here."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost("another of the training processes has ended") from error
