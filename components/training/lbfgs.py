"""Minimises functions of few parameters, all samples at once."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

STEPS = 100


def minimise(parameters: Iterable[Tensor], loss: Callable[[], Tensor]) -> None:
    """Change parameters, in place, to where a smooth loss is least, from where they are.

    By L-BFGS with a line search for the strong Wolfe conditions (Liu & Nocedal 1989).
    """
    optimizer = torch.optim.LBFGS(list(parameters), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
