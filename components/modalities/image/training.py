"""Training of image encoders: augmentation, and the views of SimCLR."""

import math
from functools import partial

import torch
from torch.nn import functional as F

from components.modalities.encoding import Batch, Pretext
from components.modalities.image.modality import ImageEncoderSettings, ImageSettings

MIN_AREA = 0.3  # fraction of an image's area that a view shows
STRETCH = math.log(4 / 3)  # of the ratio of width to height of a view
LIGHT = 0.4  # by which fraction brightness, contrast and saturation of a view change


def pretext(inputs: ImageSettings, options: ImageEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`."""
    flip = options.horizontal_flip
    return Pretext(augment=partial(augment, flip=flip), view=partial(view, flip=flip))


def augment(batch: Batch, flip: bool) -> Batch:
    """Flip half of the images; shift all by up to a sixteenth of their size, repeating the edge.

    `pixels` uint8 [B, 3, H, W] → the same.
    """
    pixels = batch["pixels"]
    flipped = (torch.rand(len(pixels), 1, 1, 1) < 0.5) & flip
    pixels = torch.where(flipped, pixels.flip(-1), pixels)
    size = pixels.shape[-1]
    reach = size // 16
    down, right = torch.randint(-reach, reach + 1, (2,)).tolist()
    place = torch.arange(size)
    rows, columns = (place + down).clamp(0, size - 1), (place + right).clamp(0, size - 1)
    return {"pixels": pixels[:, :, rows][..., columns]}


def view(batch: Batch, flip: bool) -> Batch:
    """Return a random crop of each image, flipped or not, in different light.

    `pixels` uint8 [B, 3, H, W] → the same. The views of SimCLR (Chen et al. 2020) without changes
    of hue: texts name colours.
    """
    pixels = batch["pixels"].float()
    count = len(pixels)
    area = torch.empty(count).uniform_(MIN_AREA, 1)
    ratio = torch.empty(count).uniform_(-STRETCH, STRETCH).exp()
    sides = (torch.stack([area * ratio, area / ratio], 1) ** 0.5).clamp(max=1)  # [B, 2]
    flipped = torch.where((torch.rand(count) < 0.5) & flip, -1.0, 1.0)
    place = torch.zeros(count, 2, 3)  # of the crop in the image, both from -1 to 1
    place[:, 0, 0], place[:, 1, 1] = sides[:, 0] * flipped, sides[:, 1]
    place[:, :, 2] = (2 * torch.rand(count, 2) - 1) * (1 - sides)
    grid = F.affine_grid(place, list(pixels.shape), align_corners=False)  # [B, H, W, 2]
    crop = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    brightness, contrast, saturation = torch.empty(3, count, 1, 1, 1).uniform_(1 - LIGHT, 1 + LIGHT)
    crop = crop * brightness
    crop = crop.lerp(crop.mean((1, 2, 3), keepdim=True), 1 - contrast)
    crop = crop.lerp(crop.mean(1, keepdim=True), 1 - saturation)
    return {"pixels": crop.round().clamp(0, 255).to(torch.uint8)}
