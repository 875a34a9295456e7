"""Stage `preprocess_audio`: sound becomes log-mel spectrograms [N, mels, frames]."""

import argparse
from pathlib import Path

import torch

from components.config.command import Stage, View
from components.model.processors import decode_audio
from components.model.processors.audio import AudioProcessor
from components.preprocess.shards import preprocess
from components.store.hashing import file_hash

STAGE = Stage(
    description="Decode sound and compute log-mel spectrograms.",
    inputs={"media": "folder, the media shard set of the ingest stage"},
    outputs={"tensors": "folder, the tensor shard set"},
    params=("workers", "preprocess.audio"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    torch.set_num_threads(1)  # the pool's processes are the parallelism
    options = settings.preprocess_audio
    processor = AudioProcessor(options)
    recipe = [options.model_dump(), file_hash(Path(decode_audio.__file__))]
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)


if __name__ == "__main__":
    STAGE.run(work)
