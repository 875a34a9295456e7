"""The record of images, and their settings."""

from typing import Annotated

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Modality
from components.modalities.settings import EncoderSettings, InputSettings


class ImageSettings(InputSettings):
    """How an image becomes a tensor: the shorter side gets `size` pixels, then a square is cut."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]


class ImageEncoderSettings(EncoderSettings):
    """An encoder of images; with `horizontal_flip`, half of the images of a step are mirrored."""

    LEARNING_KEYS = EncoderSettings.LEARNING_KEYS | {"horizontal_flip"}

    horizontal_flip: bool


def torchvision_classifiers() -> list[str]:
    """Return the names of torchvision's classification models."""
    from torchvision import models

    return models.list_models(module=models)


MODALITY = Modality(
    name="image",
    inputs=ImageSettings,
    encoder=ImageEncoderSettings,
    encoder_names=EncoderNames(
        modality="image",
        built_in=("convolutional",),
        library=torchvision_classifiers,
        library_name="a classification model of torchvision",
    ),
    measures={"width": "image width [pixels]", "height": "image height [pixels]"},
    mlflow_type="binary",
    is_leak=True,
)
