"""Encoders of texts."""

from components.huggingface.description import Description
from components.layers.features import Encoder
from components.modalities.text.encoders.huggingface import INTERFACE, HuggingFaceTextEncoder
from components.modalities.text.encoders.transformer import TextEncoder
from components.modalities.text.modality import TextEncoderSettings, TextSettings

__all__ = ["INTERFACE", "build"]

BUILT_IN = {"transformer": TextEncoder}


def build(
    inputs: TextSettings, options: TextEncoderSettings, description: Description | None
) -> Encoder:
    """See `Encoders`."""
    if description:
        return HuggingFaceTextEncoder(description)
    return BUILT_IN[options.encoder](inputs, options)
