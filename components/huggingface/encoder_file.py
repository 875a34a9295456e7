"""Files of encoders: weights, and heads; the header holds what rebuilds a published model."""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from components.common.files import replacing
from components.huggingface.description import Description

KEY = "description"
HEADS = "heads."  # begins the names of their tensors

Weights = dict[str, Tensor]


def save_encoder(
    path: Path, encoder: nn.Module, description: Description | None, heads: Weights | None = None
) -> None:
    """Write the weights of an encoder and of heads over its features.

    The names of their tensors begin with the part of the features, as in `pooled.<task>.weight`.

    Its description goes with them if it is a published model.
    """
    header = {KEY: description.model_dump_json()} if description else None
    tensors = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    tensors |= {f"{HEADS}{name}": value for name, value in (heads or {}).items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, header)


def load_encoder(path: Path) -> tuple[Weights, Weights]:
    """Return the weights of an encoder, and those of heads over its features."""
    found = load_file(path)
    heads = {name for name in found if name.startswith(HEADS)}
    weights = {name: value for name, value in found.items() if name not in heads}
    return weights, {name.removeprefix(HEADS): found[name] for name in sorted(heads)}


def load_description(path: Path) -> Description | None:
    """Return the description in an encoder's file; None if the encoder is built here."""
    with safe_open(path, "pt") as file:
        header = file.metadata() or {}
    return Description.model_validate_json(header[KEY]) if KEY in header else None
