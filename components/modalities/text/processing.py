"""Converts texts into token ids, without torch: importing it takes longer than 10,000 texts."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from components.common.errors import InputError
from components.common.files import write_json
from components.data.bpe import train_bpe
from components.data.shards import read_index, read_media
from components.huggingface.locate import fetched, is_pretrained_model, locate
from components.modalities.modality import Preparation
from components.modalities.text.decoding import decode
from components.modalities.text.modality import COUNTS, MODALITY, TextSettings

PAD, MASK = 0, 1  # ids of the special tokens, with any tokenizer
SPECIAL_TOKENS = ("<pad>", "<mask>")  # in the order of their ids


def prepare(preparation: Preparation) -> dict[str, Any]:
    """See `Processing`: the longest text, and the tokenizer as JSON."""
    inputs: TextSettings = preparation.inputs
    name, folder = preparation.encoder, preparation.pretrained
    if is_pretrained_model(name, folder, MODALITY.encoder_names):
        tokenizer = model_tokenizer(name, folder, inputs)
    elif inputs.tokenizer is None:
        shards = read_index(preparation.media)
        contents = (content for shard in shards for content in read_media(preparation.media, shard))
        tokenizer = train_tokenizer(map(decode, contents), inputs.vocab_size)
    else:
        tokenizer = load_tokenizer(find_tokenizer(inputs.tokenizer, folder), inputs)
    state = {"max_tokens": inputs.max_tokens, "tokenizer": json.loads(tokenizer.to_str())}
    return {**state, COUNTS: True} if preparation.plain else state


def build(state: Mapping[str, Any]) -> "TextProcessor":
    """See `Processing`."""
    tokenizer = Tokenizer.from_str(json.dumps(state["tokenizer"]))
    return TextProcessor(tokenizer, state["max_tokens"], COUNTS in state)


def export(state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """See `Processing`: the tokenizer, unless it belongs to a model of Transformers."""
    if state["tokenizer"]["padding"] is not None:
        return {}
    write_json(folder / f"{name}.json", state["tokenizer"])
    return {"tokenizer": f"{name}.json"}


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE, which can encode any text in any language."""
    return train_bpe(texts, vocab_size, SPECIAL_TOKENS)


def find_tokenizer(source: str, folder: Path) -> Path:
    """Return the file of a pretrained tokenizer; InputError if it cannot be fetched.

    It is a file in `folder`, or name@commit on the Hugging Face Hub, from which it is fetched once
    into the library's cache.
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


def load_tokenizer(path: Path, inputs: TextSettings) -> Tokenizer:
    """Read a pretrained `tokenizer.json`; InputError if it is not one or has too many tokens."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(
            f"preprocess.text.tokenizer: {path} is not a tokenizer.json of the tokenizers library: "
            f"{error}. Name such a file, or null to train a tokenizer"
        ) from error
    tokenizer.no_padding()  # a file may ask for both
    tokenizer.no_truncation()
    needed = max(tokenizer.get_vocab().values(), default=-1) + 1 + _id_offset(tokenizer)
    if needed > inputs.vocab_size:
        raise InputError(
            f"preprocess.text.vocab_size: found {inputs.vocab_size}, but {path} needs {needed}. "
            "Set it to that"
        )
    return tokenizer


def model_tokenizer(encoder: str, folder: Path, inputs: TextSettings) -> Tokenizer:
    """Return the tokenizer of a model of Transformers, which cuts and pads texts itself.

    Raises:
        InputError: texts may be longer than the model reads.
    """
    from components.huggingface.description import describe
    from components.modalities.text.encoders.huggingface import INTERFACE, tokenizer_of

    description = describe(encoder, folder, MODALITY.encoder_names, INTERFACE)
    longest = description.inputs["max_tokens"]
    if inputs.max_tokens > longest:
        raise InputError(
            f"preprocess.text.max_tokens: found {inputs.max_tokens}, but the encoder {encoder} "
            f"reads {longest}. Set that or less"
        )
    tokenizer = tokenizer_of(locate(encoder, folder, MODALITY.encoder_names))
    backend: Tokenizer = tokenizer.backend_tokenizer
    backend.enable_truncation(inputs.max_tokens)
    backend.enable_padding(pad_id=tokenizer.pad_token_id or 0, length=inputs.max_tokens)
    return backend


class TextProcessor:
    """Encodes texts with a tokenizer; that of a model of Transformers cuts and pads them itself.

    If `counts`, it counts words and characters too.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, counts: bool = False):
        self.max_tokens, self.counts = max_tokens, counts
        self.tokenizer = tokenizer
        self._pads_itself = tokenizer.padding is not None
        self._offset = 0 if self._pads_itself else _id_offset(tokenizer)
        # "<mask>" in a text is four letters and two signs.
        tokenizer.encode_special_tokens = not self._pads_itself

    def cut(self, contents: Iterable[bytes]) -> int:
        """See `CuttingProcessor`."""
        return sum(
            len(encoding.ids) > self.max_tokens or bool(encoding.overflowing)
            for encoding in self._encode(list(map(decode, contents)))
        )

    def _encode(self, texts: list[str]) -> list[Encoding]:
        return self.tokenizer.encode_batch_fast(texts, add_special_tokens=self._pads_itself)

    def __call__(self, contents: Iterable[bytes]) -> dict[str, np.ndarray]:
        """Encode UTF-8: `tokens` int64 [N, max_tokens], padded, and `lengths` int64 [N], from 1.

        With `counts` int8 [N, F], see `hashed`, if it counts words and characters.
        """
        texts = list(map(decode, contents))
        encodings = self._encode(texts)
        tokens = np.full((len(encodings), self.max_tokens), PAD, np.int64)  # [N, L]
        lengths = np.ones(len(encodings), np.int64)
        for row, encoding in enumerate(encodings):
            ids = encoding.ids[: self.max_tokens]
            tokens[row, : len(ids)] = np.array(ids, np.int64) + self._offset
            lengths[row] = max(1, sum(encoding.attention_mask[: self.max_tokens]))
        tensors = {"tokens": tokens, "lengths": lengths}
        if not self.counts:
            return tensors
        from components.modalities.text.plain_features import hashed  # importing it takes a second

        return {**tensors, COUNTS: hashed(texts)}


def _id_offset(tokenizer: Tokenizer) -> int:
    """Return the offset of the ids of a tokenizer whose first tokens are not PAD and MASK."""
    own = [tokenizer.token_to_id(word) for word in SPECIAL_TOKENS]
    return 0 if own == [PAD, MASK] else len(SPECIAL_TOKENS)
