"""Stage `preprocess_text`: texts become token ids [N, tokens]; a tokenizer is trained for it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from components.config.command import Stage, View
from components.model.processors import decode_text
from components.model.processors.text import TextProcessor, load_tokenizer, train_tokenizer
from components.preprocess.shards import preprocess
from components.store.errors import InputError
from components.store.files import write_text
from components.store.hashing import file_hash, fingerprint
from components.store.shards import read_index, read_media

STAGE = Stage(
    description="Train a byte-level BPE tokenizer on the corpus, or read one; encode every text.",
    inputs={
        "media": "folder, the media shard set of the ingest stage",
        "pretrained": "folder, where the setting may name a tokenizer.json",
    },
    outputs={
        "tensors": "folder, the tensor shard set",
        "tokenizer": "JSON, the tokenizer",
    },
    params=("workers", "preprocess.text"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    options = settings.preprocess_text
    if options.tokenizer is None:
        tokenizer = train_tokenizer(_texts(arguments.media), options)
    else:
        tokenizer = load_tokenizer(find_tokenizer(options.tokenizer, arguments.pretrained), options)
    description = tokenizer.to_str(pretty=True)
    decoding = file_hash(Path(decode_text.__file__))
    lengths = options.model_dump(exclude={"tokenizer"})  # it is the same wherever it is from
    recipe = [lengths, fingerprint(description), decoding]
    processor = TextProcessor(options, tokenizer)
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)
    write_text(arguments.tokenizer, description)


def find_tokenizer(source: str, folder: Path) -> Path:
    """The file of a pretrained tokenizer.

    Args:
        source: the name of a file in `folder`, or name@commit on the Hugging Face Hub; from there
            it is fetched once, into the library's own cache.

    Raises:
        InputError: the Hub's cannot be had.
    """
    if source.endswith(".json"):
        return folder / source
    from huggingface_hub import hf_hub_download

    name, commit = source.split("@")
    try:
        return Path(hf_hub_download(name, "tokenizer.json", revision=commit))
    except Exception as error:  # those of its network library pass through
        raise InputError(
            f"preprocess.text.tokenizer: the tokenizer.json of {name} at {commit} cannot be had: "
            f"{error}\nIt is needed in the cache of the Hugging Face Hub (HF_HOME), where this "
            f"leaves it: hf download {name} tokenizer.json --revision {commit}"
        ) from error


def _texts(media: Path) -> Iterator[str]:
    for shard in read_index(media):
        for content in read_media(media, shard):
            yield content.decode()


if __name__ == "__main__":
    STAGE.run(work)
