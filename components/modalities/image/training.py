"""Training of image encoders: augmentation, and the views of SimCLR."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from components.modalities.encoding import Batch, Mixup, Pretext
from components.modalities.image.modality import (
    ImageAugmentationSettings,
    ImageEncoderSettings,
    ImageSettings,
)

STRETCH = math.log(4 / 3)  # of the ratio of width to height of a crop, as in Inception
GREY = 127  # of what is erased
MIN_ERASED, MAX_ERASED = 0.02, 1 / 3  # fraction of the area


def pretext(inputs: ImageSettings, options: ImageEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`.

    The views are those of SimCLR (Chen et al. 2020) without changes of hue: texts name colours.
    """
    wanted = options.augmentation
    return Pretext(
        augment=partial(augment, options=wanted),
        mixup=Mixup(wanted.mixup, blend) if wanted.mixup else None,
        view=View(flip=wanted.horizontal_flip, min_area=0.3, light=0.4),
    )


def augment(batch: Batch, options: ImageAugmentationSettings) -> Batch:
    """Change images as settings say: `pixels` uint8 [B, 3, H, W] → the same.

    What costs a resampling (crop, rotation, colour) is left out where it is not wanted.
    """
    pixels, flip = batch["pixels"], options.horizontal_flip
    if options.crop < 1 or options.rotation or options.colour:
        seen = View(flip, options.crop, options.rotation, options.colour)
        pixels = seen({"pixels": pixels})["pixels"]
    else:
        flipped = (torch.rand(len(pixels), 1, 1, 1) < 0.5) & flip
        pixels = torch.where(flipped, pixels.flip(-1), pixels)
    pixels = _shifted(pixels, int(pixels.shape[-1] * options.shift))
    if options.erasing:
        pixels = _erased(pixels, options.erasing)
    return {"pixels": pixels}


def _shifted(pixels: Tensor, reach: int) -> Tensor:
    """Shift all images by up to `reach` pixels, repeating the edge."""
    size = pixels.shape[-1]
    down, right = torch.randint(-reach, reach + 1, (2,)).tolist()
    place = torch.arange(size)
    rows, columns = (place + down).clamp(0, size - 1), (place + right).clamp(0, size - 1)
    return pixels.index_select(2, rows).index_select(3, columns)


def _erased(pixels: Tensor, probability: float) -> Tensor:
    """Make a rectangle of some images grey (random erasing, Zhong et al. 2020)."""
    count, size = len(pixels), pixels.shape[-1]
    sides = torch.empty(count, 2, 1).uniform_(MIN_ERASED**0.5, MAX_ERASED**0.5) * size
    first = torch.rand(count, 2, 1) * (size - sides)
    place = torch.arange(size)
    rows, columns = ((place >= first) & (place < first + sides)).unbind(1)  # [B, H], [B, W]
    chosen = torch.rand(count, 1, 1) < probability
    inside = rows[:, :, None] & columns[:, None] & chosen  # [B, H, W]
    return pixels.masked_fill(inside[:, None], GREY)


@dataclass(frozen=True)
class View:
    """A random crop of each image, rotated and in different light, flipped or not."""

    flip: bool
    min_area: float = 1.0  # fraction of an image's area that is shown
    rotation: float = 0.0  # degrees
    light: float = 0.0  # by which fraction brightness, contrast and saturation change

    def __call__(self, batch: Batch) -> Batch:
        """`pixels` uint8 [B, 3, H, W] → the same."""
        pixels = batch["pixels"].float()
        grid = F.affine_grid(self._places(len(pixels)), list(pixels.shape), align_corners=False)
        seen = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        if self.light:
            seen = self._relit(seen)
        return {"pixels": seen.round().clamp(0, 255).to(torch.uint8)}

    def _places(self, count: int) -> Tensor:
        """Return where each crop lies in its image, both from -1 to 1: affine maps [B, 2, 3]."""
        area = torch.empty(count).uniform_(self.min_area, 1)
        stretch = STRETCH if self.min_area < 1 else 0.0
        ratio = torch.empty(count).uniform_(-stretch, stretch).exp()
        sides = (torch.stack([area * ratio, area / ratio], 1) ** 0.5).clamp(max=1)  # [B, 2]
        flipped = torch.where((torch.rand(count) < 0.5) & self.flip, -1.0, 1.0)
        place = torch.zeros(count, 2, 3)
        place[:, 0, 0], place[:, 1, 1] = sides[:, 0] * flipped, sides[:, 1]
        if self.rotation:
            angle = torch.empty(count).uniform_(-1, 1) * math.radians(self.rotation)
            cos, sin = angle.cos(), angle.sin()
            turn = torch.stack([cos, -sin, sin, cos], 1).view(count, 2, 2)
            place[:, :, :2] = turn @ place[:, :, :2]
        place[:, :, 2] = (2 * torch.rand(count, 2) - 1) * (1 - sides)
        return place

    def _relit(self, seen: Tensor) -> Tensor:
        low, high = 1 - self.light, 1 + self.light
        shape = (3, len(seen), 1, 1, 1)
        brightness, contrast, saturation = torch.empty(shape).uniform_(low, high)
        seen = seen * brightness
        seen = seen.lerp(seen.mean((1, 2, 3), keepdim=True), 1 - contrast)
        return seen.lerp(seen.mean(1, keepdim=True), 1 - saturation)


def blend(batch: Batch, others: Batch, share: float) -> Batch:
    """Blend images with others, of which `1 - share` is seen."""
    pixels = torch.lerp(others["pixels"].float(), batch["pixels"].float(), share)
    return {"pixels": pixels.round().to(torch.uint8)}
