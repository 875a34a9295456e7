"""The encoder of images that the settings name."""

from torch import nn

from components.config.encoders import EncoderSettings, ImageSettings
from components.model.encoders.huggingface.description import Description
from components.model.encoders.image.convolutional import ConvolutionalImageEncoder
from components.model.encoders.image.huggingface import HuggingFaceImageEncoder

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
    from components.model.encoders.image.torchvision import TorchvisionEncoder

    return TorchvisionEncoder(inputs, options)
