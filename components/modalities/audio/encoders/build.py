"""The encoder of sound that the settings name."""

from torch import nn

from components.huggingface.description import Description
from components.modalities.audio.encoders.convolutional import ConvolutionalAudioEncoder
from components.modalities.audio.encoders.huggingface import HuggingFaceAudioEncoder
from components.modalities.audio.encoders.patches import PatchesEncoder
from components.modalities.settings import AudioSettings, TransformerEncoderSettings

BUILT_HERE = {"convolutional": ConvolutionalAudioEncoder, "patches": PatchesEncoder}


def build_audio(
    inputs: AudioSettings, options: TransformerEncoderSettings, description: Description | None
) -> nn.Module:
    """The encoder with fresh weights; a description says that it is a model of Transformers."""
    if description:
        return HuggingFaceAudioEncoder(inputs, description)
    return BUILT_HERE[options.encoder](inputs, options)
