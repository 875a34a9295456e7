"""Images to uint8 tensors."""

import io

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from components.config.settings import ImageSettings


class ImageProcessor:
    """Decodes images and brings them to one size."""

    def __init__(self, settings: ImageSettings):
        self.size = settings.size
        self._resize = v2.Compose(
            [v2.Resize(self.size, antialias=True), v2.CenterCrop([self.size, self.size])]
        )

    def __call__(self, contents: list[bytes]) -> dict[str, torch.Tensor]:
        """Decode image files.

        Returns:
            `pixels`: uint8 [N, 3, H, W], RGB.
        """
        return {"pixels": torch.stack([self._decode(content) for content in contents])}

    def _decode(self, content: bytes) -> torch.Tensor:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I;16"):  # Pillow's own way makes every shade above 255 white
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = F.pil_to_tensor(image.convert("RGB"))  # [3, h, w]
        if pixels.shape[1:] == (self.size, self.size):
            return pixels
        return self._resize(pixels)  # [3, H, W]
