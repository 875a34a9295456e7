"""Stage `preprocess_text`: a tokenizer is trained, and texts become token ids [N, tokens]."""

import argparse

import torch

from components.config.command import Stage, View
from components.model.processors.text import TextProcessor, train_tokenizer
from components.preprocess.shards import preprocess
from components.store.files import write_text
from components.store.hashing import fingerprint
from components.store.shards import read_index, read_media

STAGE = Stage(
    description="Train a byte-level BPE tokenizer on the corpus and encode every text.",
    inputs={"media": "folder, the media shard set of the ingest stage"},
    outputs={
        "tensors": "folder, the tensor shard set",
        "tokenizer": "JSON, the trained tokenizer",
    },
    params=("workers", "preprocess.text"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    torch.set_num_threads(1)  # the pool's processes are the parallelism
    options = settings.preprocess_text
    corpus = (
        content.decode()
        for shard in read_index(arguments.media)
        for content in read_media(arguments.media, shard)
    )
    tokenizer = train_tokenizer(corpus, options)
    description = tokenizer.to_str(pretty=True)
    recipe = [options.model_dump(), fingerprint(description)]
    processor = TextProcessor(options, tokenizer)
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)
    write_text(arguments.tokenizer, description)


if __name__ == "__main__":
    STAGE.run(work)
