"""Converts image files into uint8 tensors of one size."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cykooz_resizer import (
    CropBox,
    FilterType,
    ImageData,
    PixelType,
    ResizeAlg,
    ResizeOptions,
    Resizer,
)
from PIL import Image

from components.common.errors import InputError
from components.huggingface.locate import is_pretrained_model
from components.modalities.image.decoding import decode
from components.modalities.image.modality import MODALITY, Fit
from components.modalities.image.square import Box, make_square
from components.modalities.modality import Preparation, RowProcessor

PROBES = ((300, 200), (200, 500))  # width and height in pixels


def prepare(preparation: Preparation) -> dict[str, Any]:
    """See `Processing`: the settings, or what a published model says of its inputs."""
    name, folder = preparation.encoder, preparation.pretrained
    if not is_pretrained_model(name, folder, MODALITY.encoder_names):
        return preparation.inputs.model_dump()
    import torch  # here, as importing it takes longer than to preprocess some data sets

    from components.huggingface.description import describe
    from components.modalities.image.encoders.huggingface import INTERFACE

    torch.set_num_threads(1)  # the processes of the pool are the parallelism
    description = describe(name, folder, MODALITY.encoder_names, INTERFACE)
    return {"timm" if description.is_timm else "huggingface": description.inputs}


def build(state: Mapping[str, Any]) -> RowProcessor:
    """See `Processing`."""
    if "huggingface" in state:
        return HuggingFaceImageProcessor(state["huggingface"])
    if "timm" in state:
        return TimmImageProcessor(state["timm"])
    return ImageProcessor(**state)


def export(state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """See `Processing`: settings alone make the processor."""
    return {}


# Averages what it shrinks, with equal numbers on every processor.
FILTER = ResizeAlg.convolution(FilterType.bilinear)


class ImageProcessor(RowProcessor):
    """Decodes images and makes them squares of one size: uint8 [3, size, size], RGB."""

    tensor = "pixels"

    def __init__(self, size: int, fit: Fit = "crop"):
        self.size = size
        self.fit: Fit = fit
        self.shape = (3, size, size)

    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        for content in contents:
            pixels = decode(content, self.size).pixels
            yield make_square(pixels, self.size, self.fit, resize).transpose(2, 0, 1)


def resize(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """See `Resize`."""
    (height, width, _), (left, top, right, bottom) = pixels.shape, box
    source = ImageData(width, height, PixelType.U8x3, pixels.tobytes())
    target = ImageData(*size, PixelType.U8x3)
    part = CropBox(left, top, right - left, bottom - top)
    Resizer().resize(source, target, ResizeOptions(FILTER, crop_box=part))
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(*reversed(size), 3)


class HuggingFaceImageProcessor(RowProcessor):
    """Decodes images; the processor of a model of Transformers resizes and crops them.

    The encoder rescales and normalises the numbers itself, so that images are stored as bytes.
    `inputs` is the preprocessor_config.json; InputError if it leaves images of several sizes.
    """

    tensor = "pixels"

    def __init__(self, inputs: Mapping[str, Any]):
        from components.huggingface.models import library

        processor = getattr(library(), inputs["image_processor_type"]).from_dict(dict(inputs))
        options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        self._process = partial(processor, **options)
        probes = [np.zeros((height, width, 3), np.uint8) for width, height in PROBES]
        shapes = {self._fit(probe).shape for probe in probes}
        if len(shapes) > 1:
            raise InputError(
                f"features.image.encoder: its processor leaves images of several sizes, {shapes}; "
                "only one that brings all to one size can be used"
            )
        (self.shape,) = shapes

    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        return (self._fit(decode(content).pixels) for content in contents)

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        (fitted,) = self._process(images=Image.fromarray(pixels))["pixel_values"]
        return fitted


class TimmImageProcessor(RowProcessor):
    """Decodes images; timm resizes and crops them as for the training of a model.

    As with Transformers, the encoder normalises the bytes.
    """

    tensor = "pixels"

    def __init__(self, inputs: Mapping[str, Any]):
        from components.huggingface.timm_models import transform

        self.shape = tuple(inputs["input_size"])
        self._transform = transform(inputs)

    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        for content in contents:
            yield self._transform(Image.fromarray(decode(content).pixels)).numpy()
