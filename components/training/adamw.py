"""AdamW without torch's compiler."""

from inspect import unwrap
from typing import Any

import torch

OPTIMIZER: Any = torch.optim.AdamW


class AdamW(torch.optim.AdamW):
    """The optimizer of Loshchilov & Hutter 2019, bit for bit that of torch.

    Wrappers of torch's methods import its compiler, which takes a second of processor time, to tell
    it to leave them alone; here nothing compiles them.
    """

    add_param_group = unwrap(OPTIMIZER.add_param_group)
    zero_grad = unwrap(OPTIMIZER.zero_grad)
    step = torch.no_grad()(unwrap(OPTIMIZER.step))
    state_dict = unwrap(OPTIMIZER.state_dict)
    load_state_dict = unwrap(OPTIMIZER.load_state_dict)
