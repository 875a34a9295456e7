"""The encoder of texts that the settings name."""

from torch import nn

from components.huggingface.description import Description
from components.modalities.settings import TextSettings, TransformerEncoderSettings
from components.modalities.text.encoders.huggingface import HuggingFaceTextEncoder
from components.modalities.text.encoders.transformer import TextEncoder

BUILT_HERE = {"transformer": TextEncoder}


def build_text(
    inputs: TextSettings, options: TransformerEncoderSettings, description: Description | None
) -> nn.Module:
    """The encoder with fresh weights; a description says that it is a model of Transformers."""
    if description:
        return HuggingFaceTextEncoder(description)
    return BUILT_HERE[options.encoder](inputs, options)
