"""Stage `preprocess_image`: images of any size become uint8 tensors [N, 3, H, W]."""

import argparse

from components.config.command import Stage, View
from components.model.processors.image import ImageProcessor
from components.preprocess.shards import preprocess

STAGE = Stage(
    description="Decode and resize images.",
    inputs={"media": "folder, the media shard set of the ingest stage"},
    outputs={"tensors": "folder, the tensor shard set"},
    params=("workers", "preprocess.image"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    options = settings.preprocess_image
    processor = ImageProcessor(options)
    recipe = [options.model_dump()]
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)


if __name__ == "__main__":
    STAGE.run(work)
