"""Stage `preprocess_text`: texts become token ids [N, tokens]; a tokenizer is trained for it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from components.common.errors import InputError
from components.common.files import write_text
from components.common.hashing import fingerprint
from components.config.command import Stage, View
from components.data.shards import read_index, read_media
from components.huggingface.locate import fetched, is_built_here, locate
from components.modalities.settings import TextSettings
from components.modalities.text.processing import (
    TextProcessor,
    complete,
    load_tokenizer,
    train_tokenizer,
)
from components.preprocess.shards import preprocess

STAGE = Stage(
    description="Train a byte-level BPE tokenizer on the corpus, or read one; encode every text.",
    inputs={
        "media": "folder, the media shard set of the ingest stage",
        "pretrained": "folder, where the settings may name a tokenizer.json or an encoder",
    },
    outputs={
        "tensors": "folder, the tensor shard set",
        "tokenizer": "JSON, the tokenizer",
    },
    params=("workers", "preprocess.text", "features.text.encoder"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    options, encoder = settings.preprocess_text, settings.features_text_encoder
    if not is_built_here(encoder, arguments.pretrained, "text"):
        tokenizer = own_tokenizer(encoder, arguments.pretrained, options)
    elif options.tokenizer is None:
        tokenizer = train_tokenizer(_texts(arguments.media), options)
    else:
        tokenizer = load_tokenizer(find_tokenizer(options.tokenizer, arguments.pretrained), options)
    description = tokenizer.to_str(pretty=True)
    lengths = options.model_dump(exclude={"tokenizer"})  # it is the same wherever it is from
    recipe = [lengths, fingerprint(description)]
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
    return fetched(
        lambda: Path(hf_hub_download(name, "tokenizer.json", revision=commit)),
        f"preprocess.text.tokenizer: the tokenizer.json of {name} at {commit}",
        f"hf download {name} tokenizer.json --revision {commit}",
    )


def own_tokenizer(encoder: str, folder: Path, options: TextSettings) -> Tokenizer:
    """The tokenizer that a model of Transformers was trained with.

    Args:
        encoder: the setting that names the model.
        folder: where the setting may name a folder.
        options: how long texts may be.

    Raises:
        InputError: that is longer than the model reads.
    """
    # Here, since torch takes longer to import than ten thousand texts to encode.
    from components.huggingface.description import describe
    from components.huggingface.models import tokenizer_of

    longest = describe(encoder, folder, "text").inputs["max_tokens"]
    if options.max_tokens > longest:
        raise InputError(
            f"preprocess.text.max_tokens: found {options.max_tokens}, but the encoder {encoder} "
            f"reads {longest}. Set that or less"
        )
    tokenizer = tokenizer_of(locate(encoder, folder, "text"))
    complete(tokenizer.backend_tokenizer, tokenizer.pad_token_id or 0, options.max_tokens)
    return tokenizer.backend_tokenizer


def _texts(media: Path) -> Iterator[str]:
    for shard in read_index(media):
        for content in read_media(media, shard):
            yield content.decode()


if __name__ == "__main__":
    STAGE.run(work)
