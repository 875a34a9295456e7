"""Stage `preprocess_image`: images of any size become uint8 tensors [N, 3, H, W]."""

import argparse
from pathlib import Path

from components.config.command import Stage, View
from components.model.processors.image import ImageProcessor
from components.preprocess.shards import Convert, preprocess
from components.store.files import replacing
from components.store.shards import Shard, read_media
from components.store.tensors import save_rows

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
    folders = arguments.media, arguments.tensors
    preprocess(*folders, processor, recipe, settings.workers, ConvertImages)


class ConvertImages(Convert):
    """Writes the images of one media shard one by one."""

    def __call__(self, shard: Shard, path: Path) -> None:
        contents, size = read_media(self.media, shard), self.processor.size
        with replacing(path) as temporary:
            shape = (len(contents), 3, size, size)
            save_rows(temporary, "pixels", shape, self.processor.rows(contents))


if __name__ == "__main__":
    STAGE.run(work)
