"""Encoders of sound."""

from components.huggingface.description import Description
from components.layers.features import Encoder
from components.modalities.audio.encoders.convolutional import ConvolutionalAudioEncoder
from components.modalities.audio.encoders.huggingface import INTERFACE, HuggingFaceAudioEncoder
from components.modalities.audio.encoders.patches import PatchesEncoder
from components.modalities.audio.modality import AudioEncoderSettings, AudioSettings

__all__ = ["INTERFACE", "build"]

BUILT_IN = {"convolutional": ConvolutionalAudioEncoder, "patches": PatchesEncoder}


def build(
    inputs: AudioSettings, options: AudioEncoderSettings, description: Description | None
) -> Encoder:
    """See `Encoders`."""
    if description:
        return HuggingFaceAudioEncoder(inputs, description)
    return BUILT_IN[options.encoder](inputs, options)
