"""Stage `features_image`: the image encoder and the features it gives."""

import argparse
import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from components.common.files import read_json
from components.config.command import Stage, View
from components.data.tables import SAMPLES, read_table
from components.features import teach
from components.modalities.image.encoders.build import build_image

STAGE = Stage(
    description="Teach the image encoder the tasks that an image decides, or if there is none by "
    "self-supervision; encode every image.",
    inputs=teach.INPUTS,
    outputs=teach.OUTPUTS,
    params=("seed", "threads", "tasks", "preprocess.image", "features.image"),
)


SMALLEST_PART = 0.3  # of an image's area that a view shows
STRETCH = math.log(4 / 3)  # of a view's ratio of width to height
LIGHT = 0.4  # by which share of itself a view's brightness, contrast and saturation change


def augment(batch: teach.Batch, mirror: bool) -> teach.Batch:
    """Mirror half of the images; move all by a few pixels, the edge repeated where nothing was.

    `pixels` uint8 [B, 3, H, W] → the same.
    """
    pixels = batch["pixels"]
    mirrored = (torch.rand(len(pixels), 1, 1, 1) < 0.5) & mirror
    pixels = torch.where(mirrored, pixels.flip(-1), pixels)
    size = pixels.shape[-1]
    reach = size // 16
    down, right = torch.randint(-reach, reach + 1, (2,)).tolist()
    place = torch.arange(size)
    rows, columns = (place + down).clamp(0, size - 1), (place + right).clamp(0, size - 1)
    return {"pixels": pixels[:, :, rows][..., columns]}


def view(batch: teach.Batch, mirror: bool) -> teach.Batch:
    """A random part of each image, mirrored or not, in another light.

    The views of SimCLR (Chen et al. 2020), but that hues stay: texts name colours.

    `pixels` uint8 [B, 3, H, W] → the same.
    """
    pixels = batch["pixels"].float()
    count = len(pixels)
    area = torch.empty(count).uniform_(SMALLEST_PART, 1)
    ratio = torch.empty(count).uniform_(-STRETCH, STRETCH).exp()
    sides = torch.stack([area * ratio, area / ratio], 1).sqrt().clamp(max=1)  # [B, 2]
    mirrored = torch.where((torch.rand(count) < 0.5) & mirror, -1.0, 1.0)
    place = torch.zeros(count, 2, 3)  # of the part in the image, both from -1 to 1
    place[:, 0, 0], place[:, 1, 1] = sides[:, 0] * mirrored, sides[:, 1]
    place[:, :, 2] = (2 * torch.rand(count, 2) - 1) * (1 - sides)
    grid = F.affine_grid(place, pixels.shape, align_corners=False)  # [B, H, W, 2]
    part = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    brightness, contrast, saturation = torch.empty(3, count, 1, 1, 1).uniform_(1 - LIGHT, 1 + LIGHT)
    part = part * brightness
    part = part.lerp(part.mean((1, 2, 3), keepdim=True), 1 - contrast)
    part = part.lerp(part.mean(1, keepdim=True), 1 - saturation)
    return {"pixels": part.round().clamp(0, 255).to(torch.uint8)}


def lesson(arguments: argparse.Namespace, settings: View, encoder: nn.Module) -> teach.Lesson:
    """What an image decides, or else what two views of it share."""
    samples = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    assets, rows = teach.load(arguments, samples, "image")
    objectives = teach.task_objectives("image", assets, samples, settings.tasks, vocabulary)
    options = settings.features_image
    moved, seen = (partial(change, mirror=options.mirror) for change in (augment, view))
    labelled = teach.Lesson("image", encoder, assets, rows, objectives, options, moved)
    return labelled if objectives else teach.by_views(labelled, seen)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    teach.run("image", STAGE, build_image, lesson, arguments, settings)


if __name__ == "__main__":
    STAGE.run(work)
