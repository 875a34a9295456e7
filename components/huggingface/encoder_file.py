"""Files of encoders: weights, and in the header what rebuilds a published model."""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from components.common.files import replacing
from components.huggingface.description import Description

KEY = "description"


def save_encoder(path: Path, encoder: nn.Module, description: Description | None) -> None:
    """Write the weights of an encoder, and its description if it is a published model."""
    header = {KEY: description.model_dump_json()} if description else None
    tensors = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, header)


def load_description(path: Path) -> Description | None:
    """Return the description in an encoder's file; None if the encoder is built here."""
    with safe_open(path, "pt") as file:
        header = file.metadata() or {}
    return Description.model_validate_json(header[KEY]) if KEY in header else None
