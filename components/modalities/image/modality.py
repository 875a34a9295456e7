"""The record of images, and their settings."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Facts, Modality
from components.modalities.settings import (
    EncoderName,
    EncoderSettings,
    InputSettings,
    Mixup,
    PlainSettings,
)
from components.stage.settings import Fraction, Processes, Section

SIZES = (32, 64, 128)  # that are proposed

Fit = Literal["crop", "pad", "squash"]


class ImageSettings(InputSettings):
    """How an image becomes a tensor, unless the encoder has its own way."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)] = 64
    """Width and height, in pixels."""
    fit: Fit = "crop"
    """How an image becomes square: crop shows its centre, pad all of it between grey borders,
    squash all of it without its proportions."""


class ImageAugmentationSettings(Section):
    """How training images are changed at random, each in its own way but for the shift."""

    horizontal_flip: bool = True
    """Mirror half of the images of a step; false where left and right differ."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0625
    """Farthest shift of a step's images, as a fraction of their size."""
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Smallest fraction of an image's area that is shown, enlarged; 1: all of it."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Widest rotation, in degrees, to either side."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest change of brightness, contrast and saturation, as a fraction."""
    erasing: Fraction = 0.0
    """Probability that a rectangle of up to a third of the image becomes grey."""
    mixup: Mixup = 0.0
    """Blend images and their labels in pairs, shares drawn from Beta(mixup, mixup); 0: do not."""


class ImageEncoderSettings(PlainSettings, EncoderSettings):
    """An encoder of images."""

    WITH_PLAIN = "convolutional"

    encoder: EncoderName = "convolutional"
    """convolutional; a classification model of torchvision; or a pretrained one of Transformers or
    of timm."""
    augmentation: ImageAugmentationSettings = ImageAugmentationSettings()
    """Changes of training images."""
    processes: Processes | None = None
    """Processes that train together, each on a part of every batch; null: 2 if there is enough to
    train, else 1."""


def torchvision_classifiers() -> list[str]:
    """Return the names of torchvision's classification models."""
    from torchvision import models

    return models.list_models(module=models)


class _Image(Modality):
    def suggested_inputs(self, facts: Sequence[Facts]) -> dict[str, Any]:
        """The size of small images; larger ones are scaled down to 64 or 128 pixels."""
        side = statistics.median_low(min(int(f["width"]), int(f["height"])) for f in facts)
        return {"size": next((size for size in SIZES if side <= size), SIZES[-1])}


MODALITY = _Image(
    name="image",
    inputs=ImageSettings,
    encoder=ImageEncoderSettings,
    encoder_names=EncoderNames(
        modality="image",
        built_in=("convolutional",),
        library=torchvision_classifiers,
        library_name="a classification model of torchvision, timm/<name>",
        has_timm=True,
        importable=("timm/tf_efficientnet_lite0",),
    ),
    measures={"width": "image width [pixels]", "height": "image height [pixels]"},
    mlflow_type="binary",
    is_leak=True,
    copies_within=36.0,
    plain_keys=("fit",),
    items_seen=30_000,
    reasons={"size": "the shorter side of most images; details below a pixel of it are lost"},
)
