"""Encoders of images."""

from components.huggingface.description import Description
from components.layers.features import Encoder
from components.modalities.image.encoders.convolutional import ConvolutionalImageEncoder
from components.modalities.image.encoders.huggingface import INTERFACE, HuggingFaceImageEncoder
from components.modalities.image.encoders.timm import TimmEncoder
from components.modalities.image.modality import ImageEncoderSettings, ImageSettings

__all__ = ["INTERFACE", "build"]

BUILT_IN = {"convolutional": ConvolutionalImageEncoder}


def build(
    inputs: ImageSettings, options: ImageEncoderSettings, description: Description | None
) -> Encoder:
    """See `Encoders`."""
    if description:
        return (TimmEncoder if description.is_timm else HuggingFaceImageEncoder)(description)
    if options.encoder in BUILT_IN:
        return BUILT_IN[options.encoder](options)
    # Here, as importing it takes a second.
    from components.modalities.image.encoders.torchvision import TorchvisionEncoder

    return TorchvisionEncoder(inputs, options)
