"""Determinism: the same seed gives the same bits."""

import logging
import os
import platform
from collections.abc import Mapping

import torch
from torch import Tensor

from components.common.errors import InputError
from components.training.matrix_products import use_openblas

log = logging.getLogger(__name__)


def make_deterministic(seed: int, threads: int) -> None:
    """Make torch deterministic: the same seed and number of threads give the same bits.

    This holds across x86-64 processors with AVX2: see `SAME_CODE` in `components`.

    Raises:
        InputError: the processor is x86-64 and lacks AVX2.
    """
    _check_processor()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is refused without it
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports for 3 s
    # It only costs time. torch adds this attribute to the module where pyright does not see it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.set_num_threads(threads)
    use_openblas(threads)
    torch.manual_seed(seed)


def _check_processor() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        log.warning("not an x86-64 processor: weights will differ from those trained on one")
    elif not torch.cpu._is_avx2_supported():
        raise InputError(
            "this processor lacks AVX2, which training needs to give the same weights everywhere. "
            "Every x86-64 processor since about 2015 has it; a virtual machine may hide it"
        )


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that training on a device draws from."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type == "cpu" else {**states, "cuda": torch.cuda.get_rng_state(device)}


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """The inverse of `random_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu":
        torch.cuda.set_rng_state(states["cuda"], device)
