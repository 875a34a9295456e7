"""EfficientNet-Lite0, from a pickle of tensors to a folder of timm's."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from components.common.errors import InputError
from components.huggingface import timm_models

ARCHITECTURE = "tf_efficientnet_lite0"


def convert(source: Path, folder: Path) -> None:
    """Write the weights of a file as a folder of timm's; InputError if they do not fit."""
    timm = timm_models.library()
    model = timm.create_model(ARCHITECTURE, pretrained=False)
    model.load_state_dict(renamed(read_tensors(source), model.state_dict(), source))
    timm.models.save_for_hf(model, folder, safe_serialization=True)


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Read a pickle that holds a mapping of tensors; InputError if it holds anything else."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle leads to any
        # Without the text of the error, which proposes to run what is in the file.
        raise InputError(
            f"{path} is not a pickle of tensors alone: {type(error).__name__}. Install its package "
            "again"
        ) from error
    if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
        raise InputError(f"{path} holds a {type(found).__name__}, expected a mapping of tensors")
    return found


def renamed(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path
) -> dict[str, Tensor]:
    """Return tensors under other names, by their order; InputError if shapes or roles differ."""
    if len(found) != len(expected):
        raise InputError(f"{source} holds {len(found)} tensors, expected {len(expected)}")
    for (a, one), (b, other) in zip(found.items(), expected.items(), strict=True):
        if _form(a, one) != _form(b, other):
            raise InputError(f"{source}: {a} is {_form(a, one)}, expected {_form(b, other)} as {b}")
    return dict(zip(expected, found.values(), strict=True))


def _form(name: str, tensor: Tensor) -> str:
    """Return what a tensor is in its layer, such as `bias`, and its shape."""
    return f"{name.rpartition('.')[2]} {list(tensor.shape)}"
