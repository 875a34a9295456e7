"""The encoder of texts that the settings name."""

from torch import nn

from components.config.encoders import TextSettings, TransformerEncoderSettings
from components.model.encoders.huggingface.description import Description
from components.model.encoders.text.huggingface import HuggingFaceTextEncoder
from components.model.encoders.text.transformer import TextEncoder

BUILT_HERE = {"transformer": TextEncoder}


def build_text(
    inputs: TextSettings, options: TransformerEncoderSettings, description: Description | None
) -> nn.Module:
    """The encoder with fresh weights; a description says that it is a model of Transformers."""
    if description:
        return HuggingFaceTextEncoder(description)
    return BUILT_HERE[options.encoder](inputs, options)
