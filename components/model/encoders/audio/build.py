"""The encoder of sound that the settings name."""

from torch import nn

from components.config.encoders import AudioSettings, TransformerEncoderSettings
from components.model.encoders.audio.convolutional import ConvolutionalAudioEncoder
from components.model.encoders.audio.huggingface import HuggingFaceAudioEncoder
from components.model.encoders.audio.patches import PatchesEncoder
from components.model.encoders.huggingface.description import Description

BUILT_HERE = {"convolutional": ConvolutionalAudioEncoder, "patches": PatchesEncoder}


def build_audio(
    inputs: AudioSettings, options: TransformerEncoderSettings, description: Description | None
) -> nn.Module:
    """The encoder with fresh weights; a description says that it is a model of Transformers."""
    if description:
        return HuggingFaceAudioEncoder(inputs, description)
    return BUILT_HERE[options.encoder](inputs, options)
