"""Stage `preprocess_image`: images of any size become uint8 tensors [N, 3, H, W]."""

import argparse
from collections.abc import Callable
from pathlib import Path

from components.common.files import replacing
from components.config.command import Stage, View
from components.data.shards import Shard, read_media
from components.data.tensors import save_rows
from components.huggingface.locate import is_built_here
from components.modalities.image.decoding import ImageProcessor
from components.preprocess.shards import Convert, preprocess

STAGE = Stage(
    description="Decode and resize images.",
    inputs={
        "media": "folder, the media shard set of the ingest stage",
        "pretrained": "folder, where the setting may name an encoder, which says what it reads",
    },
    outputs={"tensors": "folder, the tensor shard set"},
    params=("workers", "preprocess.image", "features.image.encoder"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    options, encoder = settings.preprocess_image, settings.features_image_encoder
    if is_built_here(encoder, arguments.pretrained, "image"):
        processor, recipe = ImageProcessor(options), [options.model_dump()]
    else:
        processor, recipe = _as_trained(encoder, arguments.pretrained)
    folders = arguments.media, arguments.tensors
    preprocess(*folders, processor, recipe, settings.workers, ConvertImages)


def _as_trained(encoder: str, folder: Path) -> tuple[Callable, list]:
    """What makes the images that a model of Transformers reads, and its recipe."""
    import torch  # here, since it takes longer than to preprocess some data sets

    from components.huggingface.description import describe
    from components.modalities.image.huggingface_processor import HuggingFaceImageProcessor

    torch.set_num_threads(1)  # the pool's processes are the parallelism
    inputs = describe(encoder, folder, "image").inputs
    return HuggingFaceImageProcessor(inputs), [inputs]


class ConvertImages(Convert):
    """Writes the images of one media shard one by one."""

    def __call__(self, shard: Shard, path: Path) -> None:
        contents = read_media(self.media, shard)
        with replacing(path) as temporary:
            shape = (len(contents), *self.processor.shape)
            save_rows(temporary, "pixels", shape, self.processor.rows(contents))


if __name__ == "__main__":
    STAGE.run(work)
