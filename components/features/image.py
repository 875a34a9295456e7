"""Stage `features_image`: the image encoder and the features it gives."""

import argparse

import torch

from components.config.command import Stage, View
from components.features import teach
from components.model.base.fit import Checkpoint, make_deterministic
from components.model.encoders.image import ImageEncoder
from components.store.files import read_json
from components.store.tables import SAMPLES, read_table

STAGE = Stage(
    description="Teach the image encoder the tasks that an image decides; encode every image.",
    inputs=teach.INPUTS,
    outputs=teach.OUTPUTS,
    params=("seed", "threads", "tasks", "preprocess.image", "features.image"),
)


def augment(batch: teach.Batch) -> teach.Batch:
    """Mirror half of the images; move all by a few pixels, the edge repeated where nothing was.

    `pixels` uint8 [B, 3, H, W] → the same.
    """
    pixels = batch["pixels"]
    mirrored = torch.rand(len(pixels), 1, 1, 1) < 0.5
    pixels = torch.where(mirrored, pixels.flip(-1), pixels)
    size = pixels.shape[-1]
    reach = size // 16
    down, right = torch.randint(-reach, reach + 1, (2,)).tolist()
    place = torch.arange(size)
    rows, columns = (place + down).clamp(0, size - 1), (place + right).clamp(0, size - 1)
    return {"pixels": pixels[:, :, rows][..., columns]}


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    samples = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    assets, rows = teach.load(arguments, samples, "image")
    objectives = teach.task_objectives("image", assets, samples, settings.tasks, vocabulary)
    encoder = ImageEncoder(settings.preprocess_image, settings.features_image)
    lesson = teach.Lesson(
        "image", encoder, assets, rows, objectives, settings.features_image, augment
    )
    checkpoint = Checkpoint.of(arguments, settings, STAGE)
    history = teach.teach(lesson, settings.seed, checkpoint)
    teach.finish(arguments, encoder, history, checkpoint)


if __name__ == "__main__":
    STAGE.run(work)
