"""Stage `preprocess_text`: texts become token ids [N, tokens]; a tokenizer is trained for it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from components.config.command import Stage, View
from components.model.processors import decode_text
from components.model.processors.text import TextProcessor, load_tokenizer, train_tokenizer
from components.preprocess.shards import preprocess
from components.store.files import write_text
from components.store.hashing import file_hash, fingerprint
from components.store.shards import read_index, read_media

STAGE = Stage(
    description="Train a byte-level BPE tokenizer on the corpus, or read one; encode every text.",
    inputs={"media": "folder, the media shard set of the ingest stage"},
    outputs={
        "tensors": "folder, the tensor shard set",
        "tokenizer": "JSON, the tokenizer",
    },
    params=("workers", "preprocess.text"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    torch.set_num_threads(1)  # the pool's processes are the parallelism
    options = settings.preprocess_text
    if options.tokenizer is None:
        tokenizer = train_tokenizer(_texts(arguments.media), options)
    else:
        tokenizer = load_tokenizer(options.tokenizer, options)
    description = tokenizer.to_str(pretty=True)
    decoding = file_hash(Path(decode_text.__file__))
    recipe = [options.model_dump(), fingerprint(description), decoding]
    processor = TextProcessor(options, tokenizer)
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)
    write_text(arguments.tokenizer, description)


def _texts(media: Path) -> Iterator[str]:
    for shard in read_index(media):
        for content in read_media(media, shard):
            yield content.decode()


if __name__ == "__main__":
    STAGE.run(work)
