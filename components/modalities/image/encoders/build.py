"""The encoder of images that the settings name."""

from torch import nn

from components.huggingface.description import Description
from components.modalities.image.encoders.convolutional import ConvolutionalImageEncoder
from components.modalities.image.encoders.huggingface import HuggingFaceImageEncoder
from components.modalities.settings import EncoderSettings, ImageSettings

BUILT_HERE = {"convolutional": ConvolutionalImageEncoder}


def build_image(
    inputs: ImageSettings, options: EncoderSettings, description: Description | None
) -> nn.Module:
    """The encoder with fresh weights; a description says that it is a model of Transformers."""
    if description:
        return HuggingFaceImageEncoder(description)
    if options.encoder in BUILT_HERE:
        return BUILT_HERE[options.encoder](inputs, options)
    # Here, since it takes a second to import.
    from components.modalities.image.encoders.torchvision import TorchvisionEncoder

    return TorchvisionEncoder(inputs, options)
