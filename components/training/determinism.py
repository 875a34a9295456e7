"""Same seed, same bits."""

import os

import torch
from torch import Tensor


def make_deterministic(seed: int, threads: int) -> None:
    """Same seed, same thread count, same kind of processor: same bits."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS is refused on GPUs
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports for 3 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # it only costs time
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's generators that training on a device draws from; nothing else draws."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type == "cpu" else {**states, "cuda": torch.cuda.get_rng_state(device)}


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """The inverse of `random_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        torch.cuda.set_rng_state(states["cuda"], device)
