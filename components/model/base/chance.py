"""Same seed, same bits."""

import torch


def make_deterministic(seed: int, threads: int) -> None:
    """Same seed, same thread count, same kind of processor: same bits."""
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports for 3 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # it only costs time
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
