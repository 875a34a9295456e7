"""Image files to what a model of Transformers reads, but for the scaling of the numbers."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from components.common.errors import InputError
from components.huggingface import models
from components.modalities.image.decoding import decode

PROBES = ((300, 200), (200, 500))  # width and height in pixels


class HuggingFaceImageProcessor:
    """Decodes images, then lets the model's own processor resize and cut them.

    The model's encoder scales the numbers itself, so that images are stored as bytes.
    """

    def __init__(self, inputs: Mapping[str, Any]):
        processor = models.image_processor(inputs)
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

    def __call__(self, contents: list[bytes]) -> dict[str, np.ndarray]:
        """Decode image files.

        Returns:
            `pixels`: uint8 [N, 3, H, W], RGB.

        Raises:
            ImageError: a file cannot be used.
        """
        return {"pixels": np.stack(list(self.rows(contents)))}

    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        """The same one by one: uint8 [3, H, W]."""
        return (self._fit(decode(content).pixels) for content in contents)

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        (fitted,) = self._process(images=Image.fromarray(pixels))["pixel_values"]
        return fitted
